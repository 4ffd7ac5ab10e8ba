//! Pickle of a state_dict, protocol 2.

use inkdrop_torch::tch::Tensor;

use crate::error::Fault;
use crate::kinds;

/// Memo indices of values that the first tensor writes and the others reuse.
const DICT: u8 = 0;
const REBUILD: u8 = 1;
const STORAGE: u8 = 2;
const CPU: u8 = 3;

/// The pickle of `OrderedDict(name=_rebuild_tensor_v2(…), …)`; storage `i` is entry `i`.
///
/// It uses only operations that `torch.load(…, weights_only=True)` supports.
pub(super) fn write(entries: &[(&str, &Tensor)]) -> Result<Vec<u8>, Fault> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n".to_vec();
    out.extend_from_slice(&[b'q', DICT, b')', b'R', b'(']);
    for (index, (name, tensor)) in entries.iter().enumerate() {
        text(&mut out, name);
        rebuilt(&mut out, index, tensor).map_err(|fault| fault.about(name))?;
    }
    out.extend_from_slice(b"u.");
    Ok(out)
}

/// `_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`.
fn rebuilt(out: &mut Vec<u8>, index: usize, tensor: &Tensor) -> Result<(), Fault> {
    let (_, class) = kinds::stored(tensor.f_kind()?)?;
    let (size, first) = (tensor.size(), index == 0);
    let function = b"ctorch._utils\n_rebuild_tensor_v2\n";
    once(out, first, REBUILD, |out| out.extend_from_slice(function));
    out.extend_from_slice(b"((");
    once(out, first, STORAGE, |out| text(out, "storage"));
    out.extend_from_slice(format!("ctorch\n{class}\n").as_bytes());
    text(out, &index.to_string());
    once(out, first, CPU, |out| text(out, "cpu"));
    integer(out, kinds::numel(&size)? as i64);
    out.extend_from_slice(b"tQ");
    integer(out, 0);
    tuple(out, &size);
    tuple(out, &strides(&size));
    out.extend_from_slice(&[0x89, b'h', DICT, b')', b'R', b't', b'R']);
    Ok(())
}

/// Writes a value and stores it in the memo; later calls read the memo.
fn once(out: &mut Vec<u8>, first: bool, number: u8, write: impl FnOnce(&mut Vec<u8>)) {
    if first {
        write(out);
    }
    out.extend_from_slice(&[if first { b'q' } else { b'h' }, number]);
}

/// Strides of a contiguous tensor; an empty axis counts as one, as in torch.
fn strides(size: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; size.len()];
    for axis in (1..size.len()).rev() {
        strides[axis - 1] = strides[axis] * size[axis].max(1);
    }
    strides
}

fn tuple(out: &mut Vec<u8>, numbers: &[i64]) {
    out.push(b'(');
    for &number in numbers {
        integer(out, number);
    }
    out.push(b't');
}

fn integer(out: &mut Vec<u8>, number: i64) {
    if let Ok(small) = i32::try_from(number) {
        out.push(b'J');
        out.extend_from_slice(&small.to_le_bytes());
    } else {
        out.extend_from_slice(&[0x8a, 8]);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
