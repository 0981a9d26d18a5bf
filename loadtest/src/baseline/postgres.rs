//! The naive peer that banks write first: one PostgreSQL transaction for each
//! request, an UPDATE of the balance and an INSERT of the authorisation; then the
//! request goes back as it came.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, ensure};
use gapless_iso8583::{Cut, Dialect, Framing, Scratch};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::{Client, NoTls, Statement};

use super::{Input, serve};

/// Connections to the database.
const POOL: usize = 16;

/// Which tables: dropped and made anew at each start, in a schema of their own.
const TABLES: &str = "
    DROP SCHEMA IF EXISTS gapless_loadtest CASCADE;
    CREATE SCHEMA gapless_loadtest;
    CREATE TABLE gapless_loadtest.balance (card integer PRIMARY KEY, minor bigint NOT NULL);
    CREATE TABLE gapless_loadtest.authorisation (
        id bigserial PRIMARY KEY, card integer NOT NULL, stan integer NOT NULL,
        rrn bigint NOT NULL, amount_minor bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
";

const FILL: &str = "INSERT INTO gapless_loadtest.balance
    SELECT card, 100000000000 FROM generate_series(0, $1::integer - 1) AS card";

const UPDATE: &str = "UPDATE gapless_loadtest.balance SET minor = minor - $2
    WHERE card = $1 AND minor >= $2 RETURNING minor";

const INSERT: &str = "INSERT INTO gapless_loadtest.authorisation (card, stan, rrn, amount_minor)
    VALUES ($1, $2, $3, $4)";

/// A connection with its two statements.
struct Session {
    client: Client,
    update: Statement,
    insert: Statement,
}

/// What a request says, as far as the bank's tables go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    /// Index within its range: digits 7 to 15 of the PAN.
    card: i32,
    stan: i32,
    rrn: i64,
    amount_minor: i64,
}

impl Wanted {
    fn read(dialect: &Dialect, frame: &[u8]) -> Option<Self> {
        let message = dialect.decode(frame).ok()?;
        let mut scratch = Scratch::new();
        let pan = message.text(2, &mut scratch).ok()??;
        let card = std::str::from_utf8(pan.get(6..15)?).ok()?.parse().ok()?;
        let number = |field| message.number(field).ok().flatten();
        Some(Self {
            card,
            stan: number(11)?.try_into().ok()?,
            rrn: number(37)?.try_into().ok()?,
            amount_minor: number(4)?.try_into().ok()?,
        })
    }
}

#[derive(Default)]
struct Pool {
    free: RefCell<Vec<Session>>,
}

/// Serves until the process ends.
///
/// # Errors
/// The database cannot be reached, or refuses; the address cannot be listened on.
pub fn run(
    listen: SocketAddr,
    framing: Framing,
    url: &str,
    cards: u32,
    listening: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let dialect = Dialect::builtin("iso87-ascii").context("a dialect that the codec ships")?;
    let pool = Rc::new(Pool::default());
    let turns = Rc::new(Semaphore::new(POOL));
    let (fill, treat) = (Rc::clone(&pool), pool);
    serve(
        listen,
        listening,
        || async move { connect(&fill, url, cards).await },
        |stream| {
            let bank = Bank {
                dialect: Arc::clone(&dialect),
                framing,
                pool: Rc::clone(&treat),
                turns: Rc::clone(&turns),
            };
            let (read, mut write) = stream.into_split();
            let (sender, answers) = unbounded_channel();
            tokio::task::spawn_local(async move { send(&mut write, answers).await });
            bank.receive(read, sender)
        },
    )
}

async fn connect(pool: &Pool, url: &str, cards: u32) -> anyhow::Result<()> {
    for number in 0..POOL {
        let (client, connection) = tokio_postgres::connect(url, NoTls)
            .await
            .context("--postgres")?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                eprintln!("gapless-loadtest: postgres: {error}");
                std::process::exit(1);
            }
        });
        if number == 0 {
            client.batch_execute(TABLES).await.context("tables")?;
            let cards = i32::try_from(cards).context("too many cards")?;
            client.execute(FILL, &[&cards]).await.context("balances")?;
            client
                .batch_execute("ANALYZE gapless_loadtest.balance")
                .await
                .context("analyze")?;
        }
        let update = client.prepare(UPDATE).await.context("update")?;
        let insert = client.prepare(INSERT).await.context("insert")?;
        pool.free.borrow_mut().push(Session {
            client,
            update,
            insert,
        });
    }
    Ok(())
}

/// Answers as they come, many in one write.
async fn send(
    write: &mut tokio::net::tcp::OwnedWriteHalf,
    mut answers: UnboundedReceiver<Vec<u8>>,
) {
    while let Some(mut bytes) = answers.recv().await {
        while let Ok(mut more) = answers.try_recv() {
            bytes.append(&mut more);
        }
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

#[derive(Clone)]
struct Bank {
    dialect: Arc<Dialect>,
    framing: Framing,
    pool: Rc<Pool>,
    turns: Rc<Semaphore>,
}

impl Bank {
    async fn receive(self, read: OwnedReadHalf, answers: UnboundedSender<Vec<u8>>) {
        let mut input = Input::new();
        loop {
            if read.readable().await.is_err() {
                return;
            }
            match read.try_read(input.room()) {
                Ok(0) => return,
                Ok(bytes) => input.came(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(_) => return,
            }
            let Some(whole) = input.whole(&self.framing) else {
                return;
            };
            let mut rest = input.get(whole);
            while let Ok(Cut::Frame { body, consumed, .. }) = self.framing.cut(rest) {
                let wanted = rest
                    .get(body)
                    .and_then(|body| Wanted::read(&self.dialect, body));
                let frame = rest.get(..consumed).unwrap_or_default().to_vec();
                rest = rest.get(consumed..).unwrap_or_default();
                let (bank, answers) = (self.clone(), answers.clone());
                let Some(wanted) = wanted else { return };
                tokio::task::spawn_local(async move {
                    // Nobody waits for it any more: nothing is posted.
                    if answers.is_closed() {
                        return;
                    }
                    match bank.authorise(wanted).await {
                        // The peer may have gone.
                        Ok(()) => drop(answers.send(frame)),
                        Err(error) => eprintln!("gapless-loadtest: postgres: {error:#}"),
                    }
                });
            }
            input.drop_first(whole);
        }
    }

    /// BEGIN, UPDATE, INSERT, COMMIT.
    async fn authorise(&self, wanted: Wanted) -> anyhow::Result<()> {
        let _turn = self.turns.acquire().await.context("turns")?;
        let taken = self.pool.free.borrow_mut().pop();
        let mut session = taken.context("a turn without a connection")?;
        let done = session.authorise(wanted).await;
        self.pool.free.borrow_mut().push(session);
        done
    }
}

impl Session {
    async fn authorise(&mut self, wanted: Wanted) -> anyhow::Result<()> {
        let transaction = self.client.transaction().await.context("begin")?;
        let updated = transaction
            .execute(&self.update, &[&wanted.card, &wanted.amount_minor])
            .await
            .context("update")?;
        ensure!(updated == 1, "a card that is not in the table");
        transaction
            .execute(
                &self.insert,
                &[
                    &wanted.card,
                    &wanted.stan,
                    &wanted.rrn,
                    &wanted.amount_minor,
                ],
            )
            .await
            .context("insert")?;
        transaction.commit().await.context("commit")
    }
}
