//! Keys as text, and the code that two people compare.

use crate::support::public;
use access::{KeyText, KeyTextError, comparison_code};
use changeset::{PublicKey, WorkspaceId};
use proptest::prelude::*;

fn parse(text: &str) -> Result<PublicKey, KeyTextError> {
    text.parse::<KeyText>().map(KeyText::to_key)
}

#[test]
fn a_key_is_52_characters_in_groups_of_four() {
    let text = KeyText::of_key(&public(1));
    assert_eq!(text.to_string().len(), 52);
    assert_eq!(text.grouped().split(' ').map(str::len).collect::<Vec<_>>(), [4; 13]);
    let zeros = PublicKey::from_bytes([0; 32]);
    assert_eq!(KeyText::of_key(&zeros).to_string(), "0".repeat(52));
    let ones = PublicKey::from_bytes([0xff; 32]);
    assert_eq!(KeyText::of_key(&ones).to_string(), format!("{}g", "z".repeat(51)));
    let workspace = WorkspaceId::from_bytes([0x57; 32]);
    assert_eq!(KeyText::of_workspace(&workspace).to_workspace(), workspace);
}

#[test]
fn it_is_read_as_people_write_it() {
    let key = public(3);
    let text = KeyText::of_key(&key);
    let plain = text.to_string();
    for written in [
        plain.clone(),
        plain.to_uppercase(),
        text.grouped(),
        text.grouped().replace(' ', "-"),
        format!("  {}\n", text.grouped().replace(' ', " – ")),
        plain.replace('0', "o").replace('1', "l"),
        plain.replace('0', "O").replace('1', "I"),
    ] {
        assert_eq!(parse(&written), Ok(key), "{written}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let plain = KeyText::of_key(&public(3)).to_string();
    let grouped = KeyText::of_key(&public(3)).grouped();
    let mut wrong = grouped;
    wrong.replace_range(5..6, "u");
    assert_eq!(parse(&wrong), Err(KeyTextError::BadCharacter { position: 5, found: 'u' }));
    assert_eq!(parse(&wrong).unwrap_err().to_string(), "character 5 is `u`, which no key has; look at it again");
    assert_eq!(parse(&plain[1..]), Err(KeyTextError::WrongLength { found: 51 }));
    assert_eq!(parse(&format!("{plain}0")), Err(KeyTextError::WrongLength { found: 53 }));
    assert_eq!(parse(&plain.repeat(100)), Err(KeyTextError::WrongLength { found: 5200 }));
    assert_eq!(parse(""), Err(KeyTextError::WrongLength { found: 0 }));
    // Only two last characters are possible: the four spare bits are zero.
    let possible =
        "0123456789abcdefghjkmnpqrstvwxyz".chars().filter(|last| parse(&format!("{}{last}", &plain[..51])).is_ok());
    assert_eq!(possible.collect::<String>(), "0g");
}

#[test]
fn the_code_depends_on_workspace_key_and_nonce() {
    let workspace = WorkspaceId::from_bytes([1; 32]);
    let code = comparison_code(&workspace, &public(1), &[2; 16]).to_string();
    assert!(code.len() == 7 && code.chars().filter(char::is_ascii_digit).count() == 6, "{code}");
    assert_eq!(comparison_code(&workspace, &public(1), &[2; 16]).to_string(), code);
    for other in [
        comparison_code(&WorkspaceId::from_bytes([3; 32]), &public(1), &[2; 16]),
        comparison_code(&workspace, &public(2), &[2; 16]),
        comparison_code(&workspace, &public(1), &[3; 16]),
    ] {
        assert_ne!(other.to_string(), code);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_key_comes_back(bytes in any::<[u8; 32]>()) {
        let key = PublicKey::from_bytes(bytes);
        prop_assert_eq!(parse(&KeyText::of_key(&key).to_string()), Ok(key));
        prop_assert_eq!(parse(&KeyText::of_key(&key).grouped().to_uppercase()), Ok(key));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}") {
        if let Ok(key) = text.parse::<KeyText>() {
            prop_assert_eq!(key.to_string().len(), 52);
        }
    }
}
