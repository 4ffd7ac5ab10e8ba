//! A pickle is a program; nothing in it is executed.

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Tensor;

use crate::support::{error, fixture_bytes, refused, tensor_ops, torch_legacy, torch_zip};

/// Programs that call os.system in every way that Python's machine knows.
const CALLS: [(&str, &[u8]); 9] = [
    ("GLOBAL and REDUCE", b"\x80\x02cos\nsystem\n(X\x04\0\0\0truetR."),
    ("STACK_GLOBAL", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."),
    ("INST", b"(S'true'\nios\nsystem\n."),
    ("OBJ", b"(cos\nsystem\nS'true'\no."),
    ("NEWOBJ", b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85\x81."),
    ("NEWOBJ_EX", b"\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92."),
    (
        "within arguments",
        b"\x80\x02ccollections\nOrderedDict\ncos\nsystem\nX\x01\0\0\0x\x85R\x85R.",
    ),
    ("as a dictionary's value", b"\x80\x02}X\x01\0\0\0xcos\nsystem\nX\x01\0\0\0x\x85Rs."),
    ("BUILD", b"\x80\x02cos\nsystem\n)\x81}X\x0c\0\0\0__setstate__cos\nsystem\nsb."),
];

#[test]
fn no_way_of_calling_is_taken() {
    for (way, program) in CALLS {
        for file in [torch_zip(program, b""), torch_legacy(program, 0, b"")] {
            let error = error(&file);
            let words = ["`os.system`", "was not executed", "file.pt"];
            assert!(words.iter().all(|word| error.contains(word)), "{way}: {error}");
        }
    }
}

#[test]
fn names_that_run_code_are_refused_wherever_they_stand() {
    let names = [
        "builtins\neval",
        "builtins\nexec",
        "builtins\ngetattr",
        "__builtin__\nopen",
        "posix\nsystem",
        "nt\nsystem",
        "subprocess\nPopen",
        "torch.hub\nload",
        "torch\nload",
        "torch._utils\nos",
        "torch.serialization\nos",
        "torch.serialization\nos.system",
        "torch.jit\nload",
        "torch.jit._serialization\nload",
        "torch.serialization\nload",
        "builtins\n__import__",
        "builtins\ncompile",
        "os\npopen",
        "os.path\nos.execv",
        "sys\nexit",
        "runpy\n_run_code",
        "importlib\nimport_module",
        "importlib._bootstrap\n_load",
        "shutil\nrmtree",
        "socket\nsocket",
        "ctypes\nCDLL",
        "pty\nspawn",
        "pickle\nloads",
        "_pickle\nloads",
        "dill._dill\n_create_function",
        "numpy\nload",
        "numpy.testing._private.utils\nrunstring",
        "operator\nattrgetter",
        "types\nFunctionType",
        "types\nCodeType",
    ];
    for name in names {
        let full = name.replace('\n', ".");
        let words = [&full, "not executed", "not be trusted"];
        let as_global = [b"\x80\x02c", name.as_bytes(), b"\n)R."].concat();
        refused(&torch_zip(&as_global, b""), &words);
        let (module, name) = name.split_once('\n').unwrap();
        let text = |word: &str| [&[0x8c, word.len() as u8], word.as_bytes()].concat();
        let on_stack = [b"\x80\x04}".to_vec(), text("x"), text(module), text(name)].concat();
        let as_value = [&on_stack[..], b"\x93s."].concat();
        refused(&torch_zip(&as_value, b""), &words);
        let dict = &b"\x80\x02ccollections\ndefaultdict\n(c"[..];
        let as_factory = [dict, module.as_bytes(), b"\n", name.as_bytes(), b"\ntR."].concat();
        refused(&torch_zip(&as_factory, b""), &words);
        let as_instance = [b"(S'x'\ni", module.as_bytes(), b"\n", name.as_bytes(), b"\n."].concat();
        refused(&as_instance, &words);
    }
}

/// What pickle.dump makes of a tensor.
#[test]
fn a_pickle_within_a_pickle_is_not_read() {
    let program = b"\x80\x02ctorch.storage\n_load_from_bytes\n(U\x01xtR.";
    refused(&torch_zip(program, b""), &["_load_from_bytes", "not executed"]);
}

#[test]
fn a_container_within_itself_is_skipped_there() {
    let view = tensor_ops("FloatStorage", 1, 0, &[1], &[1]);
    let program = [
        &b"\x80\x02}q\0(X\x01\0\0\0w"[..],
        &view,
        b"X\x04\0\0\0selfh\0X\x04\0\0\0list]q\x01h\x01au.",
    ];
    let weights = StateDict::from_bytes(&torch_zip(&program.concat(), &[0; 4]), "x").unwrap();
    assert!(weights.iter().map(|(key, _)| key).eq(["w"]));
    assert_eq!(weights.skipped(), ["self", "list.0"]);
}

/// Values of any other class are listed and left out, whatever their class is called.
#[test]
fn other_names_create_inert_values() {
    let names = [
        "__main__\nModel",
        "collections\nnamedtuple",
        "collections\ndeque",
        "datetime\ndatetime",
        "numpy.core.multiarray\n_reconstruct",
        "numpy.random._pickle\n__generator_ctor",
        "omegaconf.dictconfig\nDictConfig",
        "pytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint",
        "torch.torch_version\nTorchVersion",
        "builtins\nlist",
        "functools\npartial",
        "pathlib\nPosixPath",
        "types\nSimpleNamespace",
    ];
    let view = tensor_ops("FloatStorage", 1, 0, &[1], &[1]);
    for name in names {
        let global = [b"c", name.as_bytes(), b"\n"].concat();
        let start = [&b"\x80\x02}(X\x01\0\0\0w"[..], &view, b"X\x01\0\0\0a"].concat();
        let calls: [&[u8]; 5] =
            [b")R", b")\x81}X\x01\0\0\0xK\x01sb", b")R(K\x01K\x02e", b"", b")R)R"];
        for call in calls {
            let program = [&start[..], &global, call, b"u."].concat();
            let weights = StateDict::from_bytes(&torch_zip(&program, &[0; 4]), "x").unwrap();
            assert_eq!(weights.skipped(), ["a"], "{name}");
            assert!(weights.iter().map(|(key, _)| key).eq(["w"]), "{name}");
        }
        let as_key = [&b"\x80\x02}(X\x01\0\0\0w"[..], &view, &global, b"K\x01u."].concat();
        let weights = StateDict::from_bytes(&torch_zip(&as_key, &[0; 4]), "x").unwrap();
        assert_eq!(weights.skipped(), [name.replace('\n', ".")]);
    }
}

/// A subclass of a dictionary, such as addict.Dict, is one.
#[test]
fn entries_of_an_unknown_dictionary_are_read() {
    let view = tensor_ops("FloatStorage", 1, 0, &[1], &[1]);
    let program =
        [&b"\x80\x02caddict\nDict\n)R(X\x01\0\0\0w"[..], &view, b"X\x01\0\0\0nK\x01u."].concat();
    let weights = StateDict::from_bytes(&torch_zip(&program, &[0; 4]), "x").unwrap();
    assert!(weights.iter().map(|(key, _)| key).eq(["w"]));
    assert_eq!(weights.skipped(), ["n"]);
}

#[test]
fn keys_of_every_kind_have_a_name() {
    let program =
        b"\x80\x02}((K\x01(K\x02X\x01\0\0\0xttK\x00NK\x00\x88K\x00G\x3f\xe0\0\0\0\0\0\0K\x00u.";
    let weights = StateDict::from_bytes(&torch_zip(program, b""), "x").unwrap();
    assert_eq!(weights.skipped(), ["(1, (2, x))", "None", "true", "0.5"]);
    // A tuple of tuples that doubles its length at every level.
    let mut program = b"\x80\x02}K\x01\x85q\0".to_vec();
    (0..60).for_each(|_| program.extend_from_slice(b"h\0\x86q\0"));
    program.extend_from_slice(b"K\x00s.");
    let weights = StateDict::from_bytes(&torch_zip(&program, b""), "x").unwrap();
    assert!(weights.skipped()[0].len() < 1000);
}

#[test]
fn an_object_without_tensors_is_named() {
    for root in [&b"c__main__\nModel\n)R"[..], b"c__main__\nModel\n)\x81}b"] {
        let program = [b"\x80\x02", root, b"."].concat();
        refused(&torch_zip(&program, b""), &["__main__.Model", "not executed", "state_dict()"]);
    }
}

#[test]
fn harmless_objects_are_not_looked_into() {
    let program =
        b"\x80\x02}X\x01\0\0\0acargparse\nNamespace\n)\x81}X\x0c\0\0\0__setstate__K\x01sbs.";
    let weights = StateDict::from_bytes(&torch_zip(program, b""), "x").unwrap();
    assert_eq!(weights.skipped(), ["a"]);
}

#[test]
fn a_state_dicts_metadata_is_left_out() {
    let program =
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x09\0\0\0_metadata}X\x01\0\0\0xK\x01ssb.";
    let weights = StateDict::from_bytes(&torch_zip(program, b""), "x").unwrap();
    assert!(weights.skipped().is_empty() && weights.iter().count() == 0);
}

#[test]
fn names_in_messages_stay_in_their_line() {
    let name = "a\\x1b[2J".replace("\\x1b", "\x1b").repeat(100);
    let program = [b"\x80\x02cos\n", name.as_bytes(), b"\n."].concat();
    let error = error(&torch_zip(&program, b""));
    assert!(!error.contains('\x1b') && error.len() < 1000, "{error}");
}

/// Things that are put where they do not belong.
#[test]
fn nonsense_is_called_damaged() {
    let view = tensor_ops("FloatStorage", 1, 0, &[1], &[1]);
    let programs: [&[u8]; 22] = [
        b".",
        b"\x80\x02.",
        b"\x80\x06}.",
        b"\x80\x02K.",
        b"\x80\x02(.",
        b"\x80\x02t.",
        b"\x80\x02h\x05.",
        b"\x80\x02}K\x01a.",
        b"\x80\x02](K\x01K\x02u.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02\xff.",
        b"\x80\x02I12x\n.",
        b"\x80\x02Iabc",
        b"\x80\x02X\x02\0\0\0\xff\xff.",
        b"\x80\x02ctorch\nSize\n)R.",
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    ];
    for program in programs {
        for file in [torch_zip(program, b""), torch_legacy(program, 0, b"")] {
            assert!(StateDict::from_bytes(&file, "x").is_err(), "{}", program.escape_ascii());
        }
    }
    let state = [&b"\x80\x02"[..], &view, b"}b."].concat();
    refused(&torch_zip(&state, &[0; 4]), &["damaged", "state of a tensor"]);
    let key = [&b"\x80\x02}"[..], &view, &view, b"s."].concat();
    refused(&torch_zip(&key, &[0; 4]), &["a tensor as key"]);
}

#[test]
fn two_entries_of_one_name_are_an_error() {
    let view = tensor_ops("FloatStorage", 1, 0, &[1], &[1]);
    let nested =
        [&b"\x80\x02}(X\x03\0\0\0a.b"[..], &view, b"X\x01\0\0\0a}X\x01\0\0\0b", &view, b"su."];
    refused(&torch_zip(&nested.concat(), &[0; 4]), &["two", "`a.b`"]);
}

#[test]
fn a_pickle_of_something_else_is_no_file_of_weights() {
    refused(b"\x80\x04K\x01.", &["Python pickle", "not of torch.save"]);
    let mut other = fixture_bytes("kinds_legacy.pt");
    other[5] ^= 1;
    refused(&other, &["not of torch.save"]);
    let mut other = fixture_bytes("kinds_legacy.pt");
    other[18] ^= 1;
    refused(&other, &["expected 1001"]);
}

#[test]
fn a_tensor_of_a_subclass_is_read_and_a_chain_of_them_is_not() {
    let whole = tensor_ops("FloatStorage", 1, 0, &[1], &[1]);
    let function = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let arguments = &whole[function.len()..whole.len() - 1];
    let subclass = b"ctorch._tensor\n_rebuild_from_type_v2\n";
    let of = |function: &[u8], arguments: &[u8]| {
        [b"(", function, b"cmonai.data.meta_tensor\nMetaTensor\n", arguments, b"}t"].concat()
    };
    let plain = of(function, arguments);
    let file = |call: &[u8]| {
        let program = [&b"\x80\x02}X\x01\0\0\0x"[..], subclass, call, b"Rs."].concat();
        torch_zip(&program, &2.5f32.to_le_bytes())
    };
    let weights = StateDict::from_bytes(&file(&plain), "x").unwrap();
    assert_eq!(*weights.get("x").unwrap(), Tensor::from_slice(&[2.5f32]));
    refused(&file(&of(subclass, &plain)), &["damaged"]);
}
