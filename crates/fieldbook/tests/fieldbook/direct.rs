//! Two devices over a stream of bytes, no relay.

use crate::support::{Site, path, pier, until};
use fieldbook::{Edits, State};

#[test]
fn what_one_device_saves_the_other_shows_and_both_come_to_one_digest() {
    let site = Site::new();
    let ben = site.member("ben");
    let crane = site.ana.new_document("inspection").unwrap();
    let (at_ana, at_ben) = (site.ana.partition(&pier()).unwrap(), ben.partition(&pier()).unwrap());
    at_ana.edit(&crane, "note", |tx| tx.insert_text(&path("note"), 0, "rope worn")).unwrap();
    let (here, there) = tokio::io::duplex(1 << 16);
    let links = (site.ana.link(here, true).unwrap(), ben.link(there, false).unwrap());
    let shown = || at_ben.document(&crane, |document| document.text(&path("note"))).unwrap().flatten();
    until(&ben, || shown().is_some());
    assert_eq!(shown().as_deref(), Some("rope worn"));
    at_ben.edit(&crane, "note", |tx| tx.insert_text(&path("note"), 0, "Steel ")).unwrap();
    until(&site.ana, || at_ana.digest().unwrap() == at_ben.digest().unwrap());
    drop(links);
}
