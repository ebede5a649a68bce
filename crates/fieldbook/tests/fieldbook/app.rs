//! What an app does all day: list, subscribe, wait, batch, close and open.

use crate::support::{PATIENCE, Site, note, path, pier, relay, sync, until, write};
use fieldbook::storage::LogKey;
use fieldbook::{Edits, Error, Fieldbook, Filter, Kind, Notice, Origin, Reached, Settings, Value};

#[test]
fn lists_answer_from_the_index_of_a_store_that_was_just_opened() {
    let site = Site::new();
    let at_ana = site.ana.partition(&pier()).unwrap();
    for (number, status) in ["draft", "scheduled", "draft", "closed"].into_iter().enumerate() {
        let key = site.ana.new_document("inspection").unwrap();
        let edit = at_ana.edit(&key, "create", |tx| {
            tx.put(&path("number"), format!("I-{number}").as_str().into())?;
            tx.put(&path("status"), status.into())
        });
        edit.unwrap().unwrap();
    }
    at_ana.settle().unwrap();
    let (file, kind) = (site.folder.path().join("ana"), Kind::new("inspection").unwrap());
    let Site { ana, folder } = site;
    drop(at_ana);
    ana.close();
    let ana = Fieldbook::open(file, Settings::new().unwrap()).unwrap();
    assert!(!ana.was_put_back());
    let list = |filter: &Filter| ana.partition(&pier()).unwrap().list(Some(&kind), filter).unwrap();
    assert_eq!(list(&Filter::all()).len(), 4);
    let drafts = list(&Filter::equal("status", &Value::from("draft")));
    let numbers: Vec<_> = drafts.iter().map(|row| row.summary.fields["number"].clone()).collect();
    assert_eq!(numbers, ["I-0", "I-2"]);
    let between = Filter::between("number", &Value::from("I-1"), &Value::from("I-3"));
    assert_eq!(list(&between).len(), 2);
    drop(folder);
}

#[test]
fn a_subscriber_hears_what_changed_and_where_it_came_from() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    let ben = site.member("ben");
    let crane = site.ana.new_document("inspection").unwrap();
    let mut at_ana = site.ana.subscribe();
    write(&site.ana, &crane, "rope worn");
    let Some(Notice::Changed(change)) = at_ana.poll() else { panic!("the change is told when it is durable") };
    assert_eq!((change.origin, change.document.clone()), (Origin::Local, crane.clone()));
    assert_eq!(change.paths.keys().collect::<Vec<_>>(), [&path("note")]);
    // Ben has read the partition once, so the background builds what arrives in it.
    assert_eq!(note(&ben, &crane), None);
    let mut at_ben = ben.subscribe();
    sync(&site.ana, &relay);
    sync(&ben, &relay);
    let mut heard = None;
    until(&ben, || {
        while let Some(notice) = at_ben.poll() {
            if let Notice::Changed(change) = notice
                && change.document == crane
            {
                heard = Some(change.origin);
            }
        }
        heard.is_some()
    });
    assert_eq!(heard, Some(Origin::Remote));
}

#[test]
fn waiting_ends_with_the_receipt_and_not_before() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    let crane = site.ana.new_document("inspection").unwrap();
    let saved = write(&site.ana, &crane, "rope worn");
    assert_eq!(site.ana.reached(&saved).unwrap(), Reached::Device);
    let early = site.ana.wait_blocking(&saved, Reached::Relay, std::time::Duration::from_millis(20));
    assert!(matches!(early, Err(Error::Timeout(_))));
    let link = site.ana.connect(&relay.address()).unwrap();
    site.ana.wait_blocking(&saved, Reached::Relay, PATIENCE).unwrap();
    drop(link);
    relay.stop();
    let later = write(&site.ana, &crane, "and more ");
    assert_eq!(site.ana.reached(&saved).unwrap(), Reached::Relay);
    assert_eq!(site.ana.reached(&later).unwrap(), Reached::Device);
    assert_eq!(site.ana.outbox_now().unwrap().count, 1);
}

#[test]
fn a_batch_that_fails_leaves_nothing_behind() {
    let site = Site::new();
    let at_ana = site.ana.partition(&pier()).unwrap();
    let before = at_ana.digest().unwrap();
    let keys = [site.ana.new_document("inspection").unwrap(), site.ana.new_document("inspection").unwrap()];
    let failed = at_ana.batch(|batch| {
        batch.edit(&keys[0], "note", |tx| tx.insert_text(&path("note"), 0, "one"))?;
        batch.edit(&keys[1], "note", |tx| tx.insert_text(&path("note"), 5, "behind the end"))
    });
    assert!(matches!(failed, Err(Error::Edit(_))));
    assert_eq!(at_ana.digest().unwrap(), before);
    assert_eq!(note(&site.ana, &keys[0]), None);
    let saved = at_ana.batch(|batch| {
        for key in &keys {
            batch.edit(key, "note", |tx| tx.insert_text(&path("note"), 0, "fine"))?;
        }
        Ok(())
    });
    assert_eq!(saved.unwrap().len(), 2);
}

#[test]
fn a_workspace_is_founded_in_one_page() {
    let site = Site::new();
    let view = site.ana.replica().store().view().unwrap();
    let authority = fieldbook::PartitionName::new("authority").unwrap();
    let log = LogKey::new(site.ana.workspace(), authority);
    let state = view.log(&log).unwrap().unwrap();
    // A relay that is killed between two pages would have a workspace in which nobody may do anything, for good.
    assert_eq!((state.end.position, state.pages), (2, 1));
}
