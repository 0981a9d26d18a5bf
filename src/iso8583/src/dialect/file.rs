//! The dialect file: reading, extending, checking.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{BitmapForm, Dialect, Label, MtiForm, file_text, wire_format};
use crate::LAST_FIELD;
use crate::error::DialectError;
use crate::field_set::FieldSet;
use crate::redact::Show;
use crate::rule::{Class, Code, Pad, Prefix, Quick, Rule};
use crate::semantics::Semantics;
use crate::span::Span;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// A file of the product that this one builds on.
    extends: Option<Spanned<String>>,
    /// For people.
    #[serde(rename = "description")]
    _description: Option<String>,
    semantics: Option<Semantics>,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    fields: BTreeMap<Spanned<String>, Field>,
}

/// How values are written unless their field says otherwise.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoding {
    mti: Option<MtiForm>,
    bitmap: Option<BitmapForm>,
    /// Whether bit 65 announces a third bitmap, after the second.
    tertiary_bitmap: Option<bool>,
    /// Classes n and x+n.
    digits: Option<Units>,
    /// Class z.
    track: Option<Units>,
    /// Classes a, an, as, ns, ans.
    text: Option<Units>,
    /// Class b.
    binary: Option<Units>,
    length: Option<Length>,
    length_counts: Option<Counts>,
    /// Pad nibble of packed digits of fixed length.
    pad_fixed: Option<Pad>,
    /// Pad nibble of packed digits of varying length.
    pad_variable: Option<Pad>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Units {
    Ascii,
    Ebcdic,
    Packed,
    Binary,
    Hex,
    HexEbcdic,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Length {
    Ascii,
    Ebcdic,
    Packed,
    Binary,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Counts {
    Units,
    Bytes,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<Spanned<String>>,
    show: Option<Spanned<Show>>,
    encoding: Option<Spanned<Units>>,
    length: Option<Spanned<Length>>,
    length_counts: Option<Counts>,
    pad: Option<Spanned<Pad>>,
    /// A field of the base that this dialect does not have.
    #[serde(default)]
    undefined: bool,
    /// Line of the row in the file that was asked for; 0 if only files that it
    /// extends have one.
    #[serde(skip)]
    line: usize,
}

/// All that a chain of files says.
struct Merged {
    semantics: Option<Semantics>,
    encoding: Encoding,
    fields: BTreeMap<u8, Field>,
}

/// A file being read, for errors.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, at: Range<usize>, key: String, reason: impl Into<String>) -> DialectError {
        self.error_on(self.line(at.start), key, reason)
    }

    fn error_on(&self, line: usize, key: String, reason: impl Into<String>) -> DialectError {
        DialectError {
            dialect: self.name.to_owned(),
            line: line.max(1),
            key,
            reason: reason.into(),
        }
    }

    /// The line of an offset, from 1.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }
}

pub(super) fn parse(name: &str, text: &str) -> Result<Dialect, DialectError> {
    let source = Source { name, text };
    let merged = read(&source, 0)?;
    let whole_file = || 0..0;
    let missing = |key: &str| source.error(whole_file(), key.to_owned(), "is missing");
    let encoding = &merged.encoding;
    let semantics = merged.semantics.ok_or_else(|| missing("semantics"))?;
    let mti_form = encoding.mti.ok_or_else(|| missing("encoding.mti"))?;
    let bitmap_form = encoding.bitmap.ok_or_else(|| missing("encoding.bitmap"))?;
    let tertiary_bitmap = encoding.tertiary_bitmap.unwrap_or(true);
    let mut rules = [Rule::UNDEFINED; 256];
    let mut labels = vec![Label::default(); usize::from(LAST_FIELD) + 1];
    for (&field, row) in &merged.fields {
        // What a base says of fields beyond the dialect's bitmaps is left out.
        let beyond = !tertiary_bitmap && field > 128;
        if row.undefined || (beyond && row.line == 0) {
            continue;
        }
        if beyond {
            let key = format!("fields.{field}");
            return Err(source.error_on(row.line, key, "needs a third bitmap"));
        }
        if field == 1 || (tertiary_bitmap && field == 65) {
            let key = format!("fields.{field}");
            return Err(source.error_on(row.line, key, "is a bitmap, not a field"));
        }
        let rule = rule(&source, encoding, field, row)?;
        if let Some(place) = rules.get_mut(usize::from(field)) {
            *place = rule;
        }
        if let Some(label) = labels.get_mut(usize::from(field)) {
            *label = Label {
                name: row.name.clone().unwrap_or_default(),
                attribute: rule.attribute(),
                show: row
                    .show
                    .as_ref()
                    .map(|show| *show.get_ref())
                    .unwrap_or_default(),
            };
        }
    }
    Ok(Dialect {
        name: name.to_owned(),
        mti_form,
        bitmap_form,
        tertiary_bitmap,
        wire_format: wire_format(mti_form, bitmap_form, tertiary_bitmap, &rules),
        rules,
        labels,
        semantics,
    })
}

/// Reads a file and, first, what it extends.
fn read(source: &Source<'_>, depth: usize) -> Result<Merged, DialectError> {
    let file: File = toml::from_str(source.text).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        source.error(at.clone(), key_at(source.text, at.start), error.message())
    })?;
    let mut merged = match &file.extends {
        None => Merged {
            semantics: None,
            encoding: Encoding::default(),
            fields: BTreeMap::new(),
        },
        Some(base) => {
            let known = file_text(base.get_ref()).filter(|_| depth < MAX_DEPTH);
            let text = known.ok_or_else(|| {
                source.error(
                    base.span(),
                    "extends".to_owned(),
                    "is not a dialect of the product",
                )
            })?;
            let name = base.get_ref();
            read(&Source { name, text }, depth + 1)?
        }
    };
    merged.semantics = file.semantics.or(merged.semantics);
    merge_encoding(&mut merged.encoding, file.encoding);
    let mut described = FieldSet::EMPTY;
    for (key, mut row) in file.fields {
        let key_name = || format!("fields.{}", key.get_ref());
        let numbers = numbers(key.get_ref()).ok_or_else(|| {
            source.error(
                key.span(),
                key_name(),
                "must be a field 1 to 192, or two as 105-111",
            )
        })?;
        check_row(source, &key_name(), &key, &numbers, &row)?;
        if depth == 0 {
            row.line = source.line(key.span().start);
        }
        for number in numbers {
            if described.has(number) {
                return Err(source.error(key.span(), key_name(), "is described twice"));
            }
            described.insert(number);
            merge_field(merged.fields.entry(number).or_default(), row.clone());
        }
    }
    Ok(merged)
}

/// Files of the product extend one another no deeper than this.
const MAX_DEPTH: usize = 4;

/// The key on the line of an offset, for errors that TOML itself reports.
fn key_at(text: &str, offset: usize) -> String {
    let begin = text
        .get(..offset)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    let line = text
        .get(begin..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    match line.split_once('=') {
        Some((key, _)) => key.trim().to_owned(),
        None => line.trim().to_owned(),
    }
}

/// `7` or `105-111`.
fn numbers(key: &str) -> Option<std::ops::RangeInclusive<u8>> {
    let (first, last) = key.split_once('-').unwrap_or((key, key));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last && last <= LAST_FIELD).then_some(first..=last)
}

/// What a row says that no field may say, while the file's lines are at hand.
fn check_row(
    source: &Source<'_>,
    key_name: &str,
    key: &Spanned<String>,
    numbers: &std::ops::RangeInclusive<u8>,
    row: &Field,
) -> Result<(), DialectError> {
    if let Some(show) = &row.show
        && let Some(field) = numbers
            .clone()
            .find(|&field| !show.get_ref().allowed(field))
    {
        return Err(source.error(
            show.span(),
            format!("{key_name}.show"),
            format!("DE {field} may not be shown so"),
        ));
    }
    if let Some(kind) = &row.kind {
        kind_of(kind.get_ref())
            .map_err(|reason| source.error(kind.span(), format!("{key_name}.type"), reason))?;
    }
    if row.undefined && (row.kind.is_some() || row.name.is_some()) {
        return Err(source.error(
            key.span(),
            key_name.to_owned(),
            "is both described and undefined",
        ));
    }
    Ok(())
}

fn merge_encoding(base: &mut Encoding, over: Encoding) {
    let Encoding {
        mti,
        bitmap,
        tertiary_bitmap,
        digits,
        track,
        text,
        binary,
        length,
        length_counts,
        pad_fixed,
        pad_variable,
    } = over;
    base.mti = mti.or(base.mti);
    base.bitmap = bitmap.or(base.bitmap);
    base.tertiary_bitmap = tertiary_bitmap.or(base.tertiary_bitmap);
    base.digits = digits.or(base.digits);
    base.track = track.or(base.track);
    base.text = text.or(base.text);
    base.binary = binary.or(base.binary);
    base.length = length.or(base.length);
    base.length_counts = length_counts.or(base.length_counts);
    base.pad_fixed = pad_fixed.or(base.pad_fixed);
    base.pad_variable = pad_variable.or(base.pad_variable);
}

fn merge_field(base: &mut Field, over: Field) {
    if over.undefined {
        *base = over;
        return;
    }
    // What a field is shown as belongs to what it is: a new type without a
    // word on it is shown to nobody.
    let show = if over.kind.is_some() {
        None
    } else {
        base.show.take()
    };
    *base = Field {
        name: over.name.or(base.name.take()),
        kind: over.kind.or(base.kind.take()),
        show: over.show.or(show),
        encoding: over.encoding.or(base.encoding.take()),
        length: over.length.or(base.length.take()),
        length_counts: over.length_counts.or(base.length_counts),
        pad: over.pad.or(base.pad.take()),
        undefined: false,
        line: if over.line == 0 { base.line } else { over.line },
    };
}

/// A type as the standard writes it: class, one dot for each digit of a length
/// prefix, most units. `n6`, `n..19`, `ans...999`, `x+n16`.
fn kind_of(text: &str) -> Result<(Class, u8, u16), &'static str> {
    const FORM: &str = "must be a class, dots and a length, as n6, n..19 or ans...999";
    let letters = text.find(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let (class, rest) = text.split_at_checked(letters.ok_or(FORM)?).ok_or(FORM)?;
    let class = match class {
        "n" => Class::N,
        "a" => Class::A,
        "an" | "anp" => Class::An,
        "as" => Class::As,
        "ns" => Class::Ns,
        "ans" => Class::Ans,
        "b" => Class::B,
        "z" => Class::Z,
        "x+n" => Class::Xn,
        _ => return Err("must begin with a class: n a an as ns ans b z x+n"),
    };
    let max = rest.trim_start_matches('.');
    let dots = rest.len() - max.len();
    if max.is_empty() || max.starts_with('0') || !max.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FORM);
    }
    let max: u16 = max.parse().map_err(|_| "is too long a field")?;
    match dots {
        0 if max <= 9999 => Ok((class, 0, max)),
        1..=4 if u32::from(max) < 10_u32.pow(dots as u32) => Ok((class, dots as u8, max)),
        _ => Err("has a length that its dots cannot say, or more than four dots"),
    }
}

fn rule(
    source: &Source<'_>,
    encoding: &Encoding,
    field: u8,
    row: &Field,
) -> Result<Rule, DialectError> {
    let error = |key: &str, reason: String| {
        source.error_on(row.line, format!("fields.{field}.{key}"), reason)
    };
    let kind = row
        .kind
        .as_ref()
        .ok_or_else(|| error("type", "is missing".to_owned()))?;
    let (class, dots, max) =
        kind_of(kind.get_ref()).map_err(|reason| error("type", reason.to_owned()))?;
    let units = match &row.encoding {
        Some(units) => Some(*units.get_ref()),
        None => match class {
            Class::N | Class::Xn => encoding.digits,
            Class::Z => encoding.track,
            Class::B => encoding.binary,
            _ => encoding.text,
        },
    };
    let units = units.ok_or_else(|| {
        error(
            "encoding",
            format!("class {class} has no encoding in this dialect"),
        )
    })?;
    let prefix = match (
        dots,
        row.length
            .as_ref()
            .map(|l| *l.get_ref())
            .or(encoding.length),
    ) {
        (0, _) => Prefix::Fixed,
        (digits, Some(Length::Ascii)) => Prefix::Ascii(digits),
        (digits, Some(Length::Ebcdic)) => Prefix::Ebcdic(digits),
        (digits, Some(Length::Packed)) => Prefix::Packed(digits.div_ceil(2)),
        (digits, Some(Length::Binary)) => Prefix::Binary(digits.div_ceil(2)),
        (_, None) => {
            return Err(error(
                "length",
                "no length encoding in this dialect".to_owned(),
            ));
        }
    };
    let pad = row.pad.as_ref().map(|pad| *pad.get_ref());
    let pad = pad_of(encoding, class, units, prefix, pad)
        .map_err(|reason| error("pad", reason.to_owned()))?;
    let code = code_of(class, units, pad)
        .ok_or_else(|| error("encoding", format!("class {class} cannot be written so")))?;
    let counts = row.length_counts.or(encoding.length_counts);
    let counts_bytes = counts == Some(Counts::Bytes) && prefix != Prefix::Fixed;
    let longest = if counts_bytes {
        Rule::wire_bytes(code, usize::from(max))
    } else {
        usize::from(max)
    };
    let sayable = match prefix {
        Prefix::Fixed => usize::MAX,
        Prefix::Ascii(digits) | Prefix::Ebcdic(digits) => 10_usize.pow(u32::from(digits)) - 1,
        Prefix::Packed(bytes) => 100_usize.pow(u32::from(bytes)) - 1,
        Prefix::Binary(bytes) => 256_usize.pow(u32::from(bytes)) - 1,
    };
    if longest > sayable {
        return Err(error(
            "type",
            "is longer than its length prefix can say".to_owned(),
        ));
    }
    // At most 2 * 9999.
    let bytes = Rule::wire_bytes(code, usize::from(max)) as u16;
    Ok(Rule {
        span: Span::new(bytes, code, prefix.bytes()),
        prefix,
        class,
        pad,
        counts_bytes,
        max,
        quick: Quick::of(code, class, prefix, max),
    })
}

/// The padding of a field: its own, else the dialect's for packed digits, else
/// what its class has by the standard.
fn pad_of(
    encoding: &Encoding,
    class: Class,
    units: Units,
    prefix: Prefix,
    own: Option<Pad>,
) -> Result<Pad, &'static str> {
    let fixed = prefix == Prefix::Fixed;
    let packed = units == Units::Packed;
    let pad = own.or(match class {
        Class::N | Class::Z if packed && fixed => encoding.pad_fixed.or(Some(Pad::LeftZero)),
        Class::N | Class::Z if packed => encoding.pad_variable.or(Some(Pad::RightF)),
        _ => None,
    });
    let pad = pad.unwrap_or(match class {
        Class::N | Class::Xn => Pad::LeftZero,
        Class::B | Class::Z => Pad::None,
        _ => Pad::RightBlank,
    });
    let fits = match class {
        Class::N | Class::Z if packed => {
            matches!(pad, Pad::LeftZero | Pad::RightF | Pad::RightZero)
        }
        Class::N | Class::Xn => matches!(pad, Pad::LeftZero | Pad::None),
        Class::B | Class::Z => pad == Pad::None,
        _ => matches!(pad, Pad::RightBlank | Pad::LeftBlank | Pad::None),
    };
    fits.then_some(pad)
        .ok_or("does not fit the field's class and encoding")
}

fn code_of(class: Class, units: Units, pad: Pad) -> Option<Code> {
    Some(match (class, units) {
        (Class::B, Units::Binary) => Code::Bytes,
        (Class::B, Units::Hex) => Code::Hex,
        (Class::B, Units::HexEbcdic) => Code::HexEbcdic,
        (Class::Xn, Units::Ascii) => Code::SignedAscii,
        (Class::Xn, Units::Ebcdic) => Code::SignedEbcdic,
        (Class::Xn, Units::Packed) => Code::SignedPacked,
        (Class::N | Class::Z, Units::Packed) if pad == Pad::LeftZero => Code::PackedLeft,
        (Class::N | Class::Z, Units::Packed) => Code::PackedRight,
        (Class::B, _) => return None,
        (_, Units::Ascii) => Code::Ascii,
        (_, Units::Ebcdic) => Code::Ebcdic,
        _ => return None,
    })
}
