//! `gapless make-certs`: certificates for tests and trials.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::{Failure, say};

/// `ca.pem`, `server.pem`, `client.pem` and their keys (`*.key`, mode 600).
/// Never overwrites a file: a CA made anew would cut off whoever trusts the old one.
pub(super) fn make_certs(out: &Path, hosts: &[String]) -> Result<(), Failure> {
    fs::create_dir_all(out)
        .map_err(|why| Failure::failed(format_args!("{}: {why}", out.display())))?;
    let made = make(hosts).map_err(|why| {
        Failure::usage(format_args!("--host: no certificate for {hosts:?}: {why}"))
    })?;
    for (name, text, mode) in &made {
        let path = out.join(name);
        write_new(&path, text, *mode)
            .map_err(|why| Failure::failed(format_args!("{}: {why}", path.display())))?;
        say(path.display());
    }
    Ok(())
}

type Files = Vec<(&'static str, String, u32)>;

fn make(hosts: &[String]) -> Result<Files, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name
        .push(DnType::CommonName, "Gapless test CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let ca_key_pem = ca_key.serialize_pem();
    let issuer = Issuer::new(ca, ca_key);

    let leaf = |name: &str, hosts: &[String], purpose: ExtendedKeyUsagePurpose| {
        let mut leaf = CertificateParams::new(hosts.to_vec())?;
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let pem = leaf.signed_by(&key, &issuer)?.pem();
        Ok::<_, rcgen::Error>((pem, key.serialize_pem()))
    };
    let (server, server_key) = leaf("gapless", hosts, ExtendedKeyUsagePurpose::ServerAuth)?;
    let (client, client_key) = leaf("terminal", &[], ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok(vec![
        ("ca.pem", ca_pem, 0o644),
        ("ca.key", ca_key_pem, 0o600),
        ("server.pem", server, 0o644),
        ("server.key", server_key, 0o600),
        ("client.pem", client, 0o644),
        ("client.key", client_key, 0o600),
    ])
}

fn write_new(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())
}
