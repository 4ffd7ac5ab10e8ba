//! A TorchScript network of the user.

use inkdrop_eval::{Extractor, ExtractorConfig, ExtractorInput};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::support::{fixture, normal};

fn open(input: ExtractorInput, switches: &[bool]) -> Extractor {
    let config = ExtractorConfig { input, switches: switches.to_vec() };
    Extractor::open(fixture("extractor.pt"), config, Device::Cpu).unwrap()
}

fn images() -> Tensor {
    let bytes = (normal(1, 4, 75) * 60.0 + 128.0).clamp(0.0, 255.0).to_kind(Kind::Uint8);
    bytes.view([4, 3, 5, 5])
}

fn means(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Float).mean_dim([2i64, 3].as_slice(), false, Kind::Float)
}

#[test]
fn a_tuple_begins_with_the_features() {
    let features = open(ExtractorInput::Uint8, &[]).features(&images()).unwrap();
    assert_eq!((features.size(), features.kind()), (vec![4, 6], Kind::Float));
    assert!(features.narrow(1, 0, 3).allclose(&means(&images()), 1e-5, 1e-5, false));
}

#[test]
fn a_switch_is_handed_on_and_pooled_axes_go() {
    let features = open(ExtractorInput::Uint8, &[true]).features(&images()).unwrap();
    assert_eq!(features.size(), [4, 3]);
}

#[test]
fn pixels_come_in_the_range_that_was_asked_for() {
    for (input, scale, shift) in
        [(ExtractorInput::Unit, 1.0 / 255.0, 0.0), (ExtractorInput::Signed, 1.0 / 127.5, -1.0)]
    {
        let features = open(input, &[true]).features(&images()).unwrap();
        let expected = means(&images()) * scale + shift;
        assert!(features.allclose(&expected, 1e-5, 1e-5, false), "{input:?}");
    }
    assert!("bytes".parse::<ExtractorInput>().unwrap_err().to_string().contains("uint8"));
}

#[test]
fn what_is_no_extractor_says_so() {
    let open = |name: &str| {
        Extractor::open(fixture(name), ExtractorConfig::default(), Device::Cpu)
            .map_err(|error| error.to_string())
    };
    let missing = open("nothing.pt").unwrap_err();
    assert!(missing.contains("nothing.pt: cannot read the file"), "{missing}");
    let other = open("golden.npz").unwrap_err();
    assert!(other.contains("not a TorchScript module") && other.lines().count() == 1, "{other}");

    let unpooled = open("unpooled.pt").unwrap();
    let error = unpooled.features(&images()).unwrap_err().to_string();
    assert!(error.contains("failed on images of shape [4, 3, 5, 5]"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    let config = ExtractorConfig { input: ExtractorInput::Unit, switches: Vec::new() };
    let unpooled = Extractor::open(fixture("unpooled.pt"), config, Device::Cpu).unwrap();
    let error = unpooled.features(&images()).unwrap_err().to_string();
    assert!(error.contains("returned shape [4, 2, 3, 3]"), "{error}");
}
