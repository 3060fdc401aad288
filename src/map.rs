//! Checks the imports against the maps in `lib.rs` and in the `mod.rs` of each folder: a module imports only modules below
//! it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Module = Vec<String>;

/// Every source file by its module: the text without comments and unit tests, and the rows of its map from the top
/// down.
fn modules(directory: &Path, of: &[String]) -> BTreeMap<Module, (String, Vec<String>)> {
    let paths = std::fs::read_dir(directory)
        .expect("the source directory is readable")
        .map(|entry| entry.expect("an entry").path());
    let mut found = BTreeMap::new();
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let module = [of, std::slice::from_ref(&name)].concat();
        match name.as_str() {
            _ if path.is_dir() => found.extend(modules(&path, &module)),
            // SQL beside the module that includes it.
            _ if path.extension().is_none_or(|extension| extension != "rs") => {}
            "main" | "map" | "words" | "error_snapshots" => {}
            "lib" | "mod" => drop(found.insert(of.to_vec(), read(&path))),
            _ => drop(found.insert(module, read(&path))),
        }
    }
    found
}

fn read(path: &PathBuf) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(path).expect("a source file is text");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split('`').next());
    let rows = rows.map(|name| name.trim_start_matches("mod@").to_owned()).collect();
    let program = text.split("#[cfg(test)]\nmod tests").next().expect("a first part");
    let code = program.lines().filter(|line| !line.trim_start().starts_with("//"));
    (code.collect::<Vec<_>>().join("\n"), rows)
}

/// The modules that a module imports, as absolute paths.
fn arrows(module: &[String], is_folder: bool, code: &str) -> Vec<Module> {
    let code = code.replace("pub(crate)", "").replace('\n', " ");
    let starts = code.match_indices("crate::").chain(code.match_indices("super::")).chain(code.match_indices("self::"));
    let mut found = Vec::new();
    for (at, start) in starts {
        let path = &code[at + start.len()..];
        let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
        let parent = &module[..module.len() - usize::from(!is_folder || start == "super::")];
        let base = if start == "crate::" { Vec::new() } else { parent.to_vec() };
        let prefix = path[..end].trim_end_matches(':').split("::").filter(|name| !name.is_empty()).map(str::to_owned);
        let prefix: Module = base.into_iter().chain(prefix).collect();
        match path[end..].strip_prefix('{').and_then(|list| list.split('}').next()) {
            Some(list) if list.contains('{') => panic!("a list within a list is not read: {list}"),
            Some(list) => found.extend(list.split(',').map(|item| {
                [prefix.clone(), vec![item.trim().split("::").next().expect("a name").to_owned()]].concat()
            })),
            None => found.push(prefix),
        }
    }
    found
}

/// The error of an import, if it is not allowed.
fn fault(modules: &BTreeMap<Module, (String, Vec<String>)>, from: &[String], to: &[String]) -> Option<String> {
    let common = from.iter().zip(to).take_while(|(one, other)| one == other).count();
    let (_, rows) = modules.get(&from[..common])?;
    let place = |path: &[String]| rows.iter().position(|row| Some(row) == path.get(common));
    match (from.get(common), place(from), place(to)) {
        // A folder's own file is above what is in the folder.
        (None, ..) => None,
        (Some(_), Some(from), Some(to)) if from < to => None,
        (Some(_), _, None) if common == 0 => None,
        _ => Some(format!("{} names {}", from.join("::"), to.join("::"))),
    }
}

#[test]
fn arrows_point_downward() {
    let modules = modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[]);
    let faults = faults(&modules);
    assert!(modules.len() > 100, "all sources are read");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn faults(modules: &BTreeMap<Module, (String, Vec<String>)>) -> Vec<String> {
    let mut faults = Vec::new();
    for (module, (code, rows)) in modules {
        let inside = |other: &&Module| other.len() == module.len() + 1 && other.starts_with(module);
        let mut names: Vec<_> = modules.keys().filter(inside).filter_map(|other| other.last()).collect();
        let mut rows: Vec<_> = rows.iter().collect();
        names.sort();
        rows.sort();
        if names != rows {
            faults.push(format!("the map of `{}` has {rows:?}, the folder {names:?}", module.join("::")));
        }
        let arrows = arrows(module, !names.is_empty(), code);
        faults.extend(arrows.iter().filter_map(|arrow| fault(modules, module, arrow)));
    }
    faults
}
