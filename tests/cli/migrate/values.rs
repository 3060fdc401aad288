//! The conversion of thousands of random values, checked against PostgreSQL: accepted values arrive unchanged, and
//! PostgreSQL would reject or change the refused ones.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use tarsy_db::internals::{
    Choice, Class, ColumnPlan, ColumnType, Converted, Fault, PgValue, Policies, Policy, RowDigester, SqliteValue,
    convert, field_parts, read_field,
};

use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::random::Random;
use crate::support::random_text::{self, chosen_json_texts, json_text};
use crate::support::{Database, apply, campaign, test};

/// How the server reads a text.
struct Ruling {
    /// `json` accepts it, and every string in it can be read.
    json: bool,
    /// What `jsonb` prints, if it accepts it.
    jsonb: Option<Vec<u8>>,
    /// Whether an object has a key twice.
    has_duplicates: bool,
    /// Equal for equal `jsonb`.
    rank: Option<i64>,
}

/// `json_strip_nulls` decodes every string of a `json`, and no number.
const RULE: &str = "
    CREATE FUNCTION rule(bytes bytea, OUT is_json boolean, OUT as_jsonb jsonb, OUT has_duplicates boolean)
    LANGUAGE plpgsql AS $$
    DECLARE written text;
    BEGIN
        is_json := false;
        has_duplicates := false;
        BEGIN
            written := convert_from(bytes, 'UTF8');
            PERFORM json_strip_nulls(written::json);
            is_json := true;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        BEGIN
            as_jsonb := written::jsonb;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        IF is_json AND written NOT LIKE '[[[[[[[[%' THEN
            WITH RECURSIVE part(value) AS (
                SELECT written::json
                UNION ALL
                SELECT inner_part.value FROM part, LATERAL (
                    SELECT value FROM json_each(CASE json_typeof(part.value) WHEN 'object' THEN part.value END)
                    UNION ALL
                    SELECT value FROM json_array_elements(CASE json_typeof(part.value) WHEN 'array' THEN part.value END)
                ) AS inner_part
            )
            SELECT bool_or((SELECT count(*) > count(DISTINCT key) FROM json_object_keys(
                       CASE json_typeof(value) WHEN 'object' THEN value END) AS key))
            INTO has_duplicates FROM part;
        END IF;
    END $$";

async fn rulings(connection: &mut PgConnection, texts: &[Vec<u8>]) -> Vec<Ruling> {
    sqlx::raw_sql(RULE).execute(&mut *connection).await.expect("the function is made");
    let sql = "SELECT is_json, convert_to(as_jsonb::text, 'UTF8') AS jsonb, has_duplicates,
                      CASE WHEN as_jsonb IS NOT NULL THEN dense_rank() OVER (ORDER BY as_jsonb) END AS rank
               FROM unnest($1::bytea[]) WITH ORDINALITY AS given(bytes, number), rule(bytes) ORDER BY number";
    let rows = sqlx::query(sql).bind(texts).fetch_all(connection).await.expect("the server rules");
    let ruling = |row: &sqlx::postgres::PgRow| Ruling {
        json: row.get("is_json"),
        jsonb: row.get("jsonb"),
        has_duplicates: row.get("has_duplicates"),
        rank: row.get("rank"),
    };
    rows.iter().map(ruling).collect()
}

async fn connect(database: &Database) -> PgConnection {
    PgConnection::connect(database.url()).await.expect("the server answers")
}

fn column(target: ColumnType) -> ColumnPlan {
    ColumnPlan { name: "value".to_owned(), target, nullable: true }
}

fn converted<'a>(stored: SqliteValue<'a>, target: ColumnType, policies: &Policies) -> (Converted<'a>, [u8; 32]) {
    let mut digester = RowDigester::default();
    let converted = convert(stored, &column(target), policies, &mut digester);
    (converted, digester.digest())
}

fn digest_of(value: &PgValue<'_>) -> [u8; 32] {
    let mut digester = RowDigester::default();
    digester.add(value).expect("the server's own");
    digester.digest()
}

fn policies(choices: &[&str]) -> Policies {
    let choices: Vec<Choice> = choices.iter().map(|text| text.parse().expect("a choice")).collect();
    Policies::new(&choices).expect("no contradiction")
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(300)]).into_owned()
}

#[apply(campaign)]
fn json_is_judged_as_postgresql_judges_it() {
    campaign::seeds(1).for_each(json_is_judged);
}

fn json_is_judged(seed: u64) {
    let database = Database::postgresql();
    let mut random = Random::new(seed);
    let mut texts = chosen_json_texts();
    texts.extend((0..6000).map(|_| json_text(&mut random)));
    let rulings = block_on(async { rulings(&mut connect(&database).await, &texts).await });
    let (strict, last) = (Policies::default(), policies(&["duplicate-key=last"]));
    let mut counts = [0; 5];
    let mut digests: BTreeMap<i64, [u8; 32]> = BTreeMap::new();
    for (text, ruling) in texts.iter().zip(&rulings) {
        let stored = SqliteValue::Text(text);
        let (json, _) = converted(stored, ColumnType::Json, &strict);
        assert_eq!(json.faults.is_empty(), ruling.json, "json: {:?} {}", json.faults, shown(text));
        assert!(json.normalizations.is_empty());

        let (jsonb, _) = converted(stored, ColumnType::Jsonb, &strict);
        let lasting = converted(stored, ColumnType::Jsonb, &last);
        assert_eq!(lasting.0.faults.is_empty(), ruling.jsonb.is_some(), "{:?} {}", lasting.0.faults, shown(text));
        let Some(printed) = &ruling.jsonb else {
            counts[0] += 1;
            continue;
        };
        let is_duplicate = jsonb.faults.iter().any(|fault| fault.class() == Class::DuplicateKey);
        assert_eq!(is_duplicate, ruling.has_duplicates, "{}", shown(text));
        assert_eq!(
            lasting.0.normalizations.is_empty(),
            printed == text,
            "{:?} {}",
            lasting.0.normalizations,
            shown(text)
        );
        assert_eq!(lasting.1, digest_of(&PgValue::Jsonb(printed.as_slice().into())), "{}", shown(text));
        // The same digest for the same `jsonb`, in the server's opinion.
        let known = digests.entry(ruling.rank.expect("a rank")).or_insert(lasting.1);
        assert_eq!(*known, lasting.1, "{}", shown(text));
        counts[1] += 1;
        counts[2] += usize::from(is_duplicate);
        counts[3] += usize::from(printed == text);
    }
    // And no digest for two of them.
    let mut distinct: Vec<_> = digests.values().collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), digests.len());
    counts[4] = digests.len();
    assert!(counts.iter().all(|count| *count > 300), "chance has left something out: {counts:?}");
}

#[apply(test)]
fn repaired_json_is_json_for_postgresql() {
    let database = Database::postgresql();
    let mut random = Random::new(2);
    let all = [
        ["nul=replace", "lone-surrogate=strip", "non-finite=null", "number-range=string", "invalid-json=string"],
        ["nul=strip", "lone-surrogate=replace", "non-finite=string", "number-range=null", "invalid-json=null"],
    ];
    let sets = all.map(|set| policies(&[&set[..], &["invalid-utf8=replace", "duplicate-key=last"]].concat()));
    let texts: Vec<_> = chosen_json_texts().into_iter().chain((0..4000).map(|_| json_text(&mut random))).collect();
    let mut sent = Vec::new();
    let mut changed = 0;
    for text in &texts {
        for (policies, target) in sets.iter().flat_map(|set| [(set, ColumnType::Json), (set, ColumnType::Jsonb)]) {
            let (repaired, digest) = converted(SqliteValue::Text(text), target, policies);
            assert_eq!(repaired.faults, [], "{}", shown(text));
            let (PgValue::Bytes(bytes) | PgValue::Jsonb(bytes)) = repaired.value else { panic!("{}", shown(text)) };
            let only_duplicates = repaired.changes.iter().all(|(class, _)| *class == Class::DuplicateKey);
            assert_eq!(bytes.as_ref() == text.as_slice(), only_duplicates, "{:?} {}", repaired.changes, shown(text));
            changed += usize::from(!only_duplicates);
            sent.push((target, bytes.into_owned(), digest));
        }
    }
    assert!(changed > 2000, "chance has left something out: {changed}");
    let bytes: Vec<_> = sent.iter().map(|(_, bytes, _)| bytes.clone()).collect();
    let rulings = block_on(async { rulings(&mut connect(&database).await, &bytes).await });
    for ((target, bytes, digest), ruling) in sent.iter().zip(&rulings) {
        assert!(ruling.json, "{}", shown(bytes));
        if *target == ColumnType::Jsonb {
            let printed = ruling.jsonb.as_deref().unwrap_or_else(|| panic!("refused: {}", shown(bytes)));
            assert_eq!(*digest, digest_of(&PgValue::Jsonb(printed.into())), "{}", shown(bytes));
        }
    }
}

/// Bytes, or a number, in each of SQLite's storage classes.
#[derive(Debug, Clone)]
enum Original {
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Original {
    fn stored(&self) -> SqliteValue<'_> {
        match self {
            Original::Integer(number) => SqliteValue::Integer(*number),
            Original::Real(number) => SqliteValue::Real(*number),
            Original::Text(bytes) => SqliteValue::Text(bytes),
            Original::Blob(bytes) => SqliteValue::Blob(bytes),
        }
    }

    /// A text form of this value.
    fn written(&self) -> Vec<u8> {
        match self {
            Original::Integer(number) => number.to_string().into_bytes(),
            Original::Real(f64::INFINITY) => b"Infinity".to_vec(),
            Original::Real(f64::NEG_INFINITY) => b"-Infinity".to_vec(),
            Original::Real(number) => format!("{number:e}").into_bytes(),
            Original::Text(bytes) | Original::Blob(bytes) => bytes.clone(),
        }
    }
}

fn original(random: &mut Random) -> Original {
    match random.index(6) {
        0 => {
            let bits = random.pick(&[1, 2, 32, 33, 54, 64]);
            let number = (random.next() >> (64 - bits)).cast_signed();
            Original::Integer(if random.one_in(2) { number.wrapping_neg() } else { number })
        }
        1 => match random.index(3) {
            0 => Original::Real(random.pick(&[
                0.0,
                -0.0,
                1.0,
                0.5,
                1e19,
                -1e300,
                5e-324,
                f64::INFINITY,
                f64::NEG_INFINITY,
                12.0,
                0.1,
            ])),
            // SQLite has no NaN: it stores NULL.
            1 => Original::Real(Some(f64::from_bits(random.next())).filter(|number| !number.is_nan()).unwrap_or(1.5)),
            _ => Original::Real(f64::from(i32::try_from(random.below(1 << 30)).expect("small")) / 4.0),
        },
        2 | 3 => Original::Text(random_text::text(random)),
        4 => Original::Text(json_text(random)),
        _ => Original::Blob(if random.one_in(2) { random_text::text(random) } else { json_text(random) }),
    }
}

const TARGETS: &[(ColumnType, &str)] = &[
    (ColumnType::Text(None), "text"),
    (ColumnType::Text(Some(10)), "varchar(10)"),
    (ColumnType::Json, "json"),
    (ColumnType::Jsonb, "jsonb"),
    (ColumnType::BigInt, "bigint"),
    (ColumnType::Integer, "integer"),
    (ColumnType::Boolean, "boolean"),
    (ColumnType::Double, "double precision"),
    (ColumnType::Timestamp, "timestamp"),
];

/// The values read back from a table of one column, in the order of the rows.
struct Table {
    fields: Vec<Option<Vec<u8>>>,
}

/// Sends values as the tool sends them, and reads them back as it reads them.
async fn there_and_back(connection: &mut PgConnection, kind: &str, values: &[PgValue<'_>]) -> Table {
    let create = format!("DROP TABLE IF EXISTS converted; CREATE TABLE converted (id integer, value {kind})");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await.expect("a table");
    let mut buffer = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (id, value) in (0..).zip(values) {
        buffer.extend(2_i16.to_be_bytes());
        for value in [&PgValue::Integer(id), value] {
            let (head, body) = field_parts(value);
            buffer.extend_from_slice(&head);
            buffer.extend_from_slice(body);
        }
    }
    buffer.extend((-1_i16).to_be_bytes());
    let mut copy = connection.copy_in_raw("COPY converted FROM STDIN (FORMAT binary)").await.expect("a copy begins");
    copy.send(buffer.as_slice()).await.expect("the server reads");
    copy.finish().await.unwrap_or_else(|error| panic!("{kind}: let through and refused: {error}"));
    let sql = "COPY (SELECT value FROM converted ORDER BY id) TO STDOUT (FORMAT binary)";
    let chunks = connection.copy_out_raw(sql).await.expect("a copy begins");
    let bytes = chunks.try_fold(Vec::new(), |mut bytes, chunk| async move {
        bytes.extend_from_slice(&chunk);
        Ok(bytes)
    });
    let bytes = bytes.await.expect("the server writes");
    let mut rest = &bytes[19..];
    let mut fields = Vec::new();
    while let [0, 1, a, b, c, d, after @ ..] = rest {
        let length = i32::from_be_bytes([*a, *b, *c, *d]);
        let (field, after) = after.split_at(usize::try_from(length).unwrap_or(0));
        fields.push((length >= 0).then(|| field.to_vec()));
        rest = after;
    }
    assert_eq!((fields.len(), rest), (values.len(), &[0xff, 0xff][..]));
    Table { fields }
}

/// The numbers of the rows whose value differs from the server's own conversion of the text.
async fn differing(connection: &mut PgConnection, kind: &str, written: &[Option<String>]) -> Vec<i32> {
    // As text, because neither `json` nor NaN nor -0 can be compared as they are.
    let sql = format!(
        "SELECT id FROM converted JOIN unnest($1::text[]) WITH ORDINALITY AS given(written, number) ON number = id + 1
         WHERE value::text IS DISTINCT FROM written::{kind}::text"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(written).fetch_all(connection).await;
    rows.expect("the server reads what it was given").iter().map(|row| row.get(0)).collect()
}

#[apply(campaign)]
fn values_of_every_storage_class_arrive_in_every_type_or_are_reported() {
    campaign::seeds(1).for_each(values_arrive);
}

fn values_arrive(seed: u64) {
    let database = Database::postgresql();
    block_on(async {
        let mut connection = connect(&database).await;
        for (number, (target, kind)) in TARGETS.iter().enumerate() {
            let mut random = Random::new(100 * seed + number as u64);
            let originals: Vec<_> = (0..2500).map(|_| original(&mut random)).collect();
            for policies in [Policies::default(), policies(&["storage-class=convert", "duplicate-key=last"])] {
                let all: Vec<_> = originals
                    .iter()
                    .map(|original| (original, converted(original.stored(), *target, &policies)))
                    .collect();
                let (sound, faulty): (Vec<_>, Vec<_>) =
                    all.into_iter().partition(|(_, (converted, _))| converted.faults.is_empty());
                assert!(sound.len() > 40 && faulty.len() > 50, "{kind}: {} {}", sound.len(), faulty.len());
                let values: Vec<_> = sound.iter().map(|(_, (converted, _))| converted.value.clone()).collect();
                let table = there_and_back(&mut connection, kind, &values).await;
                for ((original, (_, digest)), field) in sound.iter().zip(&table.fields) {
                    let value = read_field(field.as_deref(), *target).expect("a field of the type");
                    assert_eq!(digest_of(&value), *digest, "{kind}: {original:?}");
                }
                // The stored value equals the server's conversion of the original's text.
                let written: Vec<_> = sound
                    .iter()
                    .map(|(original, _)| {
                        Some(String::from_utf8(written_for(original, *target)).expect("was let through"))
                    })
                    .collect();
                let wrong = differing(&mut connection, kind, &written).await;
                let wrong: Vec<_> = wrong.iter().map(|id| sound[usize::try_from(*id).expect("a number")].0).collect();
                assert_eq!(wrong.len(), 0, "{kind}: {wrong:?}");
            }
        }
    });
}

/// What must arrive. A number as text, or as an integer, has more than one form.
fn written_for(original: &Original, target: ColumnType) -> Vec<u8> {
    match (original, target) {
        (Original::Real(number), ColumnType::Text(_) | ColumnType::Json | ColumnType::Jsonb) if number.is_finite() => {
            format!("{number:?}").into_bytes()
        }
        (Original::Real(number), ColumnType::BigInt | ColumnType::Integer | ColumnType::Boolean) => {
            format!("{number:.0}").replace("-0", "0").into_bytes()
        }
        _ => original.written(),
    }
}

#[apply(test)]
fn text_that_postgresql_takes_unchanged_is_not_refused() {
    let database = Database::postgresql();
    let mut random = Random::new(3);
    let texts: Vec<_> = (0..4000).map(|_| random_text::text(&mut random)).collect();
    let function = "
        CREATE TABLE short (value varchar(10));
        CREATE FUNCTION takes(bytes bytea) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            TRUNCATE short;
            -- Refuses what is too long, where a cast would cut it.
            INSERT INTO short VALUES (convert_from(bytes, 'UTF8'));
            RETURN (SELECT value = convert_from(bytes, 'UTF8') FROM short);
        EXCEPTION WHEN OTHERS THEN RETURN false;
        END $$";
    let takes: Vec<bool> = block_on(async {
        let mut connection = connect(&database).await;
        sqlx::raw_sql(function).execute(&mut connection).await.expect("the function is made");
        let sql =
            "SELECT takes(bytes) FROM unnest($1::bytea[]) WITH ORDINALITY AS given(bytes, number) ORDER BY number";
        sqlx::query_scalar(sql).bind(&texts).fetch_all(&mut connection).await.expect("the server rules")
    });
    for (text, takes) in texts.iter().zip(&takes) {
        let (converted, _) = converted(SqliteValue::Text(text), ColumnType::Text(Some(10)), &Policies::default());
        assert_eq!(converted.faults.is_empty(), *takes, "{:?} {}", converted.faults, shown(text));
    }
    assert!(takes.iter().filter(|takes| **takes).count() > 500 && takes.iter().filter(|takes| !**takes).count() > 500);
}

#[apply(test)]
fn every_policy_lets_its_own_class_through() {
    let mut random = Random::new(4);
    each(Choice::all().filter(|choice| !matches!(choice.class, Class::Orphan | Class::IndexEntry)), |choice| {
        let policies = Policies::new(&[choice]).expect("one choice");
        let mut repaired = 0;
        for (target, _) in TARGETS {
            for _ in 0..1500 {
                let original = original(&mut random);
                let (before, _) = converted(original.stored(), *target, &Policies::default());
                let (after, _) = converted(original.stored(), *target, &policies);
                let classes = |converted: &Converted<'_>| converted.faults.iter().map(Fault::class).collect::<Vec<_>>();
                if classes(&before) == [choice.class] {
                    assert_eq!(after.faults, [], "{choice}: {original:?}");
                    assert_eq!(after.changes, [(choice.class, choice.policy)], "{choice}: {original:?}");
                    repaired += 1;
                } else if !classes(&before).contains(&choice.class) {
                    // As text, because NaN is not equal to itself.
                    assert_eq!(format!("{after:?}"), format!("{before:?}"), "{choice}: {original:?}");
                }
            }
        }
        // Chance does not nest deeply enough.
        assert!(repaired > 0 || choice.class == Class::Depth, "{choice}");
        assert_ne!(choice.policy, Policy::Fail);
    });
}
