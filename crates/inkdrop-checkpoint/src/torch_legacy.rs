//! torch.save's format before PyTorch 1.6: several pickles, then the storages.

use std::collections::HashMap;
use std::io::{Cursor, SeekFrom};
use std::ops::Range;

use crate::assemble::{Storages, assemble};
use crate::error::{Fault, shown};
use crate::limits::Budget;
use crate::pickle::{self, Pickle, Storage, Value};
use crate::source::Source;
use crate::{Format, StateDict, pickle_dump};

/// Magic number at the start of the file, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Version of the format.
const PROTOCOL: i64 = 1001;

/// Reads a file of this length, which is a single pickle if it does not start with the magic number.
pub(crate) fn read(source: &mut dyn Source, len: u64) -> Result<StateDict, Fault> {
    let mut objects = Budget::new("objects", len);
    let first = pickle::read_dump(source, &mut objects)?;
    if !is_magic(&first) {
        return pickle_dump::read(&first, &mut objects, len);
    }
    let Saved { pickle, keys } = saved(source, &mut objects)?;
    let mut storages = Sections { places: places(source, len, &pickle, &keys)?, source };
    assemble(&pickle, &mut storages, &mut objects, Format::TorchLegacy, len)
}

/// The storage of a stream in memory that holds nothing else, as pickles of storages have it, and where its
/// values are.
pub(crate) fn storage(
    stream: &[u8],
    objects: &mut Budget,
) -> Result<(Storage, Range<usize>), Fault> {
    let wrong = || Fault::Problem("a pickled storage is not a stream of torch.save".to_string());
    let mut source = Cursor::new(stream);
    if !is_magic(&pickle::read(&mut source, objects)?) {
        return Err(wrong());
    }
    let Saved { pickle, keys } = saved(&mut source, objects)?;
    let Value::Storage(at) = pickle.root else { return Err(wrong()) };
    let storage = &pickle.heap.storages[at as usize];
    let places = places(&mut source, stream.len() as u64, &pickle, &keys)?;
    let (start, size) = places.get(&*storage.key).copied().ok_or_else(wrong)?;
    let start = start as usize;
    Ok((storage.clone(), start..start + size as usize))
}

/// What follows the magic number, before the storages.
struct Saved {
    /// What was saved.
    pickle: Pickle,
    /// The list of the storages' keys.
    keys: Pickle,
}

/// Reads the pickles after the magic number.
fn saved(source: &mut dyn Source, objects: &mut Budget) -> Result<Saved, Fault> {
    let mut next = || pickle::read(source, objects);
    match next()?.root {
        Value::Int(PROTOCOL) => {}
        other => {
            return Err(Fault::Problem(format!(
                "the version of torch.save's old format is {}, expected {PROTOCOL}",
                other.kind()
            )));
        }
    }
    next()?; // what machine wrote it; values are little-endian on every machine
    Ok(Saved { pickle: next()?, keys: next()? })
}

fn is_magic(pickle: &Pickle) -> bool {
    matches!(pickle.root, Value::Bytes(at) if *pickle.heap.bytes[at as usize] == MAGIC)
}

/// Offset and size in bytes of each storage.
///
/// The storages follow each other in the order of `keys`, each after its number of values.
fn places(
    source: &mut dyn Source,
    len: u64,
    pickle: &Pickle,
    keys: &Pickle,
) -> Result<HashMap<String, (u64, u64)>, Fault> {
    let mut units: HashMap<&str, u64> = HashMap::new();
    for storage in &pickle.heap.storages {
        if *units.entry(&storage.key).or_insert(storage.unit()) != storage.unit() {
            let key = shown(&storage.key);
            return Err(Fault::Problem(format!("storage `{key}` has two types; it is damaged")));
        }
    }
    let Value::List(list) = keys.root else {
        return Err(Fault::Problem("the list of storages is damaged".to_string()));
    };
    let mut places = HashMap::new();
    for &key in &keys.heap.lists[list as usize] {
        let key = keys.heap.text(key).unwrap_or_default();
        let Some(unit) = units.get(key) else {
            return Err(Fault::Problem(format!("storage `{}` belongs to no tensor", shown(key))));
        };
        let (start, size) = section(source, len, *unit).map_err(|fault| fault.about(key))?;
        if places.insert(key.to_string(), (start, size)).is_some() {
            return Err(Fault::Problem(format!("storage `{}` exists twice", shown(key))));
        }
    }
    Ok(places)
}

/// Offset and size of the next storage; moves the source past it.
fn section(source: &mut dyn Source, len: u64, unit: u64) -> Result<(u64, u64), Fault> {
    let mut count = [0; 8];
    source.read_exact(&mut count)?;
    let count = u64::from_le_bytes(count);
    let start = source.stream_position()?;
    match count.checked_mul(unit) {
        Some(size) if size <= len.saturating_sub(start) => {
            source.seek(SeekFrom::Start(start + size))?;
            Ok((start, size))
        }
        _ => Err(Fault::Problem(format!(
            "a storage of {count} values of {unit} bytes is declared, the file has {} more; it is \
             truncated or damaged",
            len.saturating_sub(start)
        ))),
    }
}

/// Storages as sections of the file.
struct Sections<'a> {
    places: HashMap<String, (u64, u64)>,
    source: &'a mut dyn Source,
}

impl Storages for Sections<'_> {
    fn size(&self, key: &str) -> Option<u64> {
        self.places.get(key).map(|&(_, size)| size)
    }

    fn read(&mut self, key: &str) -> Result<Vec<u8>, Fault> {
        let (start, size) = self.places.get(key).copied().unwrap_or_default();
        self.source.seek(SeekFrom::Start(start))?;
        // `section` has checked the length of the file.
        let mut bytes = vec![0; size as usize];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
