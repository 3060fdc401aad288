//! The JSON Schema of the documents: what does not conform to it is found.

use serde_json::json;

use crate::support::cases::each;
use crate::support::json_schema::faults;
use crate::support::{apply, test};

#[apply(test)]
fn a_field_that_is_missing_or_wrong_or_not_described_is_found() {
    let sound = json!({
        "command": "check", "version": "0.2.0", "outcome": "sound", "database": "history.db", "sound": true, "exit_code": 0,
        "checks": [{ "name": "encoding", "status": "ok", "severity": "none", "code": "ok", "detail": "UTF8",
                     "data": { "encoding": "UTF8" } }],
    });
    assert_eq!(faults(&sound), [""; 0]);
    let wrong = [
        ("/command", json!("chek")),
        ("/outcome", json!("fine")),
        ("/sound", json!("yes")),
        ("/exit_code", json!(0.5)),
        ("/checks", json!(null)),
        ("/checks/0/severity", json!("bad")),
        ("/checks/0/data/encoding", json!(8)),
    ];
    each(wrong, |(place, value)| {
        let mut document = sound.clone();
        *document.pointer_mut(place).expect("a field") = value;
        assert!(!faults(&document).is_empty(), "{document:#}");
    });
    each(["command", "version", "outcome", "database", "checks"], |name| {
        let mut document = sound.clone();
        document.as_object_mut().expect("an object").remove(name);
        assert!(!faults(&document).is_empty(), "{document:#}");
    });
    let mut more = sound;
    more["checks"][0]["more"] = json!(1);
    assert_eq!(faults(&more).len(), 1);
}
