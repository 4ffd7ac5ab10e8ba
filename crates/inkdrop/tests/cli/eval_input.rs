//! What `inkdrop eval` refuses, and in which words.

use super::support::{Place, place_with_model};

#[test]
fn data_that_cannot_be_found_or_read() {
    let place = Place::new();
    place.put("empty.npz", b"");
    place.put("notes.txt", b"no images at all");
    place.put("cut.npy", b"\x93NUMPY\x01\x00");
    for (data, words) in [
        ("nothing", &["there is no nothing", "sprites:SEED:COUNT"][..]),
        ("sprites:1", &["sprites:SEED:COUNT"]),
        ("sprites:1:0", &["1 to 5000000"]),
        ("empty.npz", &["empty.npz"]),
        ("notes.txt", &["not a set of images", "IDX"]),
        ("cut.npy", &["cut.npy"]),
        ("kept.png", &["one picture", "x.npz"]),
    ] {
        place.refuses(&["eval", "distance", data, "sprites:1:5"], words);
        place.refuses(&["eval", "distance", "sprites:1:5", data], words);
        place.refuses(&["eval", "bpd", "sprites", data], words);
    }
}

#[test]
fn archives_without_images() {
    let place = Place::new();
    place.put("floats.npz", &archive("arr_0", "<f4", &[0; 48]));
    place.put("named.npz", &archive("images", "|u1", &[0; 12]));
    for (data, words) in [("floats.npz", "uint8"), ("named.npz", "no arr_0")] {
        place.refuses(&["eval", "distance", data, "sprites:1:5"], &[words]);
    }
}

/// An npz file of one array [1, 2, 2, 3].
fn archive(name: &str, kind: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1, 2, 2, 3), }}\n");
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    npy.extend(bytes);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file(format!("{name}.npy"), options).expect("an entry");
    zip.write_all(&npy).expect("its bytes");
    zip.finish().expect("an archive").into_inner()
}

#[test]
fn sides_of_two_sizes() {
    let place = Place::new();
    place.put("other.npz", &archive("arr_0", "|u1", &[7; 12]));
    let words = ["2 x 2 x 3", "16 x 16 x 3", "--size"];
    place.refuses(&["eval", "distance", "other.npz", "sprites:1:5"], &words);
    place.refuses(&["eval", "bpd", "sprites", "other.npz"], &words);
}

#[test]
fn numbers_out_of_range() {
    let place = place_with_model();
    let bpd = |more: &[&str], words: &[&str]| {
        let args = ["eval", "bpd", "model.safetensors", "sprites:1:5"];
        place.refuses(&[&args, more].concat(), words);
    };
    bpd(&["--images", "6"], &["--images 6", "1 to 5"]);
    bpd(&["--images", "0"], &["1 to 5"]);
    bpd(&["--batch", "0"], &["--batch 0"]);
    bpd(&["--steps", "501"], &["501", "500"]);
    bpd(&["--steps", "often"], &["often"]);
    bpd(&["--class", "dragon"], &["dragon", "hero"]);
    place.refuses(
        &["eval", "bpd", "nothing.pt", "sprites:1:5"],
        &["no file and no built-in model nothing.pt"],
    );
}

#[test]
fn extractors_that_are_none() {
    let place = Place::new();
    place.put("weights.pt", b"not TorchScript");
    let distance = |more: &[&str], words: &[&str]| {
        let args = ["eval", "distance", "sprites:1:5", "sprites:2:5"];
        place.refuses(&[&args, more].concat(), words);
    };
    distance(&["--extractor", "nothing.pt"], &["nothing.pt", "torch.jit.save"]);
    distance(&["--extractor", "weights.pt"], &["weights.pt", "not a TorchScript module"]);
    distance(&["--extractor", "weights.pt", "--extractor-input", "bytes"], &["bytes", "uint8"]);
    distance(&["--extractor-input", "unit"], &["--extractor"]);
    distance(&["--extractor", "weights.pt", "--batch", "0"], &["--batch 0"]);
}

/// Before any feature is computed.
#[test]
fn subsets_of_no_images_are_refused() {
    let place = Place::new();
    let distance = ["eval", "distance", "sprites:1:5", "sprites:2:5"];
    for (option, value) in [("--kid-subsets", "0"), ("--kid-size", "0"), ("--kid-size", "1")] {
        let words = [&*format!("{option} {value}: expected at least")];
        place.refuses(&[&distance[..], &[option, value]].concat(), &words);
    }
}
