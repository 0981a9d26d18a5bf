use super::*;

fn purchase() -> Message {
    let mut message = Message::new("0200");
    for (de, value) in [
        (2, "9410000000000170"),
        (3, "0"),
        (4, "12500"),
        (11, "123456"),
        (41, "TERM0001"),
        (52, "0123456789abcdef"),
        (90, "0"),
        (102, "1000000017"),
        (128, "ffeeddccbbaa9988"),
    ] {
        message.set(de, value).unwrap();
    }
    message
}

#[test]
fn bytes_are_those_of_the_standard() {
    let mut message = Message::new("0800");
    message.set(7, "1122104512").unwrap();
    message.set(11, "1").unwrap();
    message.set(70, "301").unwrap();
    let mut expected = b"0800".to_vec();
    expected.extend([0x82, 0x20, 0, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend(b"1122104512000001301");
    assert_eq!(
        hex::encode(encode(&message).unwrap()),
        hex::encode(&expected)
    );
}

#[test]
fn what_was_encoded_decodes_to_the_same() {
    let message = purchase();
    assert_eq!(decode(&encode(&message).unwrap()), Ok(message));
}

#[test]
fn every_element_survives_the_way_through() {
    for row in ELEMENTS {
        let value = match row.class {
            Class::Signed => format!("C{}", "7".repeat(row.length.max() - 1)),
            Class::Binary => "5a".repeat(row.length.max()),
            _ => "7".repeat(row.length.max()),
        };
        let mut message = Message::new("0200");
        message.set(row.de, &value).unwrap();
        assert_eq!(
            decode(&encode(&message).unwrap()),
            Ok(message),
            "DE {}",
            row.de
        );
    }
}

#[test]
fn malformed_frames_name_the_place() {
    let good = encode(&purchase()).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        frame
    };
    // MTI 4, bitmaps 16, then DE 2 (2 + 16) from offset 20, DE 3 from 38.
    let table: &[(Vec<u8>, &str)] = &[
        (vec![], "message type at offset 0"),
        (b"020".to_vec(), "message type at offset 0"),
        (changed(0, b'x'), "message type at offset 0"),
        (good[..11].to_vec(), "bitmap at offset 4"),
        (good[..15].to_vec(), "secondary bitmap at offset 12"),
        (changed(20, b'+'), "DE 2 at offset 20"),
        (changed(20, 0xff), "DE 2 at offset 20"),
        (changed(20, b'9'), "DE 2 at offset 22"),
        (changed(38, b'A'), "DE 3 at offset 38"),
        (changed(12, 0x80), "bitmap at offset 4"),
        (good[..good.len() - 1].to_vec(), "DE 128 at offset"),
        ([good.as_slice(), b"0"].concat(), "end of message at offset"),
    ];
    for (frame, place) in table {
        let error = decode(frame).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error:?} should name {place:?}");
    }
}

#[test]
fn no_mutation_reaches_a_panic() {
    let good = encode(&purchase()).unwrap();
    for at in 0..good.len() {
        for byte in 0..=u8::MAX {
            let mut frame = good.clone();
            frame[at] = byte;
            if let Err(DecodeError::Library(why)) = decode(&frame) {
                panic!("byte {byte:02x} at {at} reached iso8583_rs: {why}");
            }
        }
        if let Err(DecodeError::Library(why)) = decode(&good[..at]) {
            panic!("truncation at {at} reached iso8583_rs: {why}");
        }
    }
}

#[test]
fn what_cannot_be_sent_is_refused() {
    assert_eq!(encode(&Message::new("1200")), Err(EncodeError::Mti));
    assert_eq!(encode(&Message::new("02")), Err(EncodeError::Mti));
    let mut message = Message::new("0200");
    message.set_unchecked(65, "1");
    assert_eq!(encode(&message), Err(EncodeError::Field(65)));
    let mut message = Message::new("0200");
    message.set_unchecked(52, "xyz");
    assert_eq!(encode(&message), Err(EncodeError::Field(52)));
}
