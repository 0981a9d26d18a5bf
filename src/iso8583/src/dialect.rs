//! A dialect: what messages of one network look like, read from a TOML file.

mod file;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::LAST_FIELD;
use crate::error::DialectError;
use crate::redact::Show;
use crate::rule::Rule;
use crate::semantics::Semantics;

/// How the MTI is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MtiForm {
    Ascii,
    Ebcdic,
    Packed,
}

/// How bitmaps are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BitmapForm {
    Binary,
    Hex,
    HexEbcdic,
}

/// What messages of one network look like: a rule for every field, how MTI and
/// bitmaps are written, names, what may be shown, and what it means.
///
/// Made once at start, then shared behind an [`Arc`].
pub struct Dialect {
    name: String,
    pub(crate) mti_form: MtiForm,
    pub(crate) bitmap_form: BitmapForm,
    pub(crate) tertiary_bitmap: bool,
    /// Tells dialects apart by what their messages look like, not by name.
    pub(crate) wire_format: u32,
    /// By field number; as long as a `u8` reaches, so that no access can miss.
    rules: [Rule; 256],
    /// By field number.
    labels: Vec<Label>,
    semantics: Semantics,
}

/// What people are told of a field.
#[derive(Clone, Debug, Default)]
struct Label {
    name: String,
    attribute: String,
    show: Show,
}

/// The dialect files that come with the product. Those after the fifth are
/// bases that other files extend; they have no encoding of their own.
static FILES: [(&str, &str); 7] = [
    (
        "iso87-ascii",
        include_str!("../../../config/dialects/iso87-ascii.toml"),
    ),
    (
        "iso87-ascii-hex",
        include_str!("../../../config/dialects/iso87-ascii-hex.toml"),
    ),
    (
        "iso87-bcd",
        include_str!("../../../config/dialects/iso87-bcd.toml"),
    ),
    (
        "iso87-ebcdic",
        include_str!("../../../config/dialects/iso87-ebcdic.toml"),
    ),
    (
        "iso93-ascii",
        include_str!("../../../config/dialects/iso93-ascii.toml"),
    ),
    ("iso87", include_str!("../../../config/dialects/iso87.toml")),
    ("iso93", include_str!("../../../config/dialects/iso93.toml")),
];

static BUILTIN: [OnceLock<Option<Arc<Dialect>>>; 5] = [const { OnceLock::new() }; 5];

impl Dialect {
    /// The dialects that come with the product, the default first.
    pub const BUILTIN_NAMES: [&'static str; 5] = [
        "iso87-ascii",
        "iso87-ascii-hex",
        "iso87-bcd",
        "iso87-ebcdic",
        "iso93-ascii",
    ];

    /// One of the [`BUILTIN_NAMES`](Dialect::BUILTIN_NAMES). The same one every
    /// time: it is parsed at its first use.
    pub fn builtin(name: &str) -> Option<Arc<Dialect>> {
        let place = Dialect::BUILTIN_NAMES
            .iter()
            .position(|&known| known == name)?;
        BUILTIN
            .get(place)?
            .get_or_init(|| Dialect::parse(name, file_text(name)?).ok().map(Arc::new))
            .clone()
    }

    /// Reads a dialect file. `name` is what errors and dumps call it. The file
    /// may extend a dialect, or a base, that comes with the product (see
    /// `config/dialects/`), and then holds only what differs.
    ///
    /// # Errors
    /// Anything that the file may not say, with line and key.
    pub fn parse(name: &str, toml_text: &str) -> Result<Dialect, DialectError> {
        file::parse(name, toml_text)
    }

    /// The name that it was parsed with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it means where versions of the standard differ.
    pub fn semantics(&self) -> &Semantics {
        &self.semantics
    }

    /// A field's name from the dialect file; empty if it has none.
    pub fn field_name(&self, field: u8) -> &str {
        self.label(field).map_or("", |label| &label.name)
    }

    /// A field's attribute as the standard writes it (`n..19`); empty if the
    /// dialect does not define the field.
    pub fn attribute(&self, field: u8) -> &str {
        self.label(field).map_or("", |label| &label.attribute)
    }

    /// How much of a field may be shown.
    pub fn show(&self, field: u8) -> Show {
        self.label(field).map_or(Show::Never, |label| label.show)
    }

    /// Whether the dialect defines the field.
    pub fn defines(&self, field: u8) -> bool {
        self.rule(field).code() != crate::rule::Code::Undefined
    }

    fn label(&self, field: u8) -> Option<&Label> {
        self.labels.get(usize::from(field))
    }

    #[inline(always)]
    pub(crate) fn rule(&self, field: u8) -> &Rule {
        self.rules
            .get(usize::from(field))
            .unwrap_or(&Rule::UNDEFINED)
    }
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialect({})", self.name)
    }
}

/// Text of a file that comes with the product.
fn file_text(name: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

/// A number that two dialects share only if their messages look alike.
fn wire_format(
    mti: MtiForm,
    bitmap: BitmapForm,
    tertiary_bitmap: bool,
    rules: &[Rule; 256],
) -> u32 {
    let mut hasher = DefaultHasher::new();
    (mti, bitmap, tertiary_bitmap, rules).hash(&mut hasher);
    hasher.finish() as u32
}

const _: () = assert!((LAST_FIELD as usize) < 256);
