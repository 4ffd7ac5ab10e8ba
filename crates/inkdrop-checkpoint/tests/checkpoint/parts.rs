//! Which networks a file holds, and their bare keys.

use inkdrop_checkpoint::{Format, StateDict};

use crate::support::{fixture, keys, with_keys};

/// What a part must be called, and what its keys are without a name.
#[test]
fn wrappers_are_found_at_the_beginning_of_keys() {
    let cases: [(&[&str], &[&str]); 16] = [
        (&["conv.weight", "norm.bias"], &[]),
        (&["module.conv.weight"], &[]),
        (&["module.conv.weight", "n_averaged"], &[]),
        (&["_orig_mod.module.conv.weight"], &[]),
        (&["model.conv.weight"], &["model"]),
        (&["model.module.conv.weight"], &["model"]),
        (&["module.model.conv.weight"], &["model"]),
        (&["state_dict.module.conv.weight"], &["state_dict"]),
        (&["state_dict.model.conv.weight", "state_dict.betas"], &["state_dict.model"]),
        (&["model.conv.weight", "ema_model.conv.weight", "betas"], &["ema_model", "model"]),
        (&["network.a", "average.a", "adam.mean.a", "adam.square.a"], &["average", "network"]),
        (
            &[
                "model.model.conv.weight",
                "model.betas",
                "ema.ema_model.model.conv.weight",
                "ema.step",
            ],
            &["ema.ema_model.model", "model.model"],
        ),
        (&["net.0.weight", "optimizer_state_dict.state.0.exp_avg"], &["net"]),
        (
            &["state_dict.model.diffusion_model.a.b", "state_dict.first_stage_model.c.d"],
            &["state_dict.model.diffusion_model"],
        ),
        (&["unet.down.0.weight"], &["unet"]),
        (&["model.0"], &["model"]),
    ];
    for (given, parts) in cases {
        assert_eq!(with_keys(given).parts(), parts, "{given:?}");
    }
}

#[test]
fn layers_are_no_wrappers() {
    let cases: [&[&str]; 5] = [
        &["down1.model.0.weight", "time_mlp.1.weight", "up1.model.0.bias"],
        &["net.0.weight", "time_mlp.1.weight"],
        &["unet.weight", "head.weight"],
        &["model", "ema"],
        &["models.conv.weight"],
    ];
    for given in cases {
        let weights = with_keys(given);
        assert!(weights.parts().is_empty(), "{given:?}");
        assert_eq!(keys(&weights.part(None).unwrap()), keys(&weights));
    }
}

#[test]
fn a_part_has_bare_keys() {
    let cases: [(&[&str], Option<&str>); 9] = [
        (&["module.conv.weight", "n_averaged"], None),
        (&["model.module.conv.weight", "epoch"], None),
        (&["state_dict.module.conv.weight"], None),
        (&["state_dict.model.conv.weight", "state_dict.betas"], None),
        (&["state_dict.model.conv.weight", "state_dict.betas"], Some("model")),
        (&["state_dict.model.conv.weight", "state_dict.betas"], Some("state_dict")),
        (&["model.conv.weight", "ema_model.norm.weight", "betas"], Some("model")),
        (&["average.conv.weight", "network.norm.weight", "adam.mean.x"], Some("average")),
        (&["denoiser.module.conv.weight", "optimizer.state.0.exp_avg"], Some("denoiser")),
    ];
    for (given, name) in cases {
        assert_eq!(keys(&with_keys(given).part(name).unwrap()), ["conv.weight"], "{given:?}");
    }
}

#[test]
fn several_parts_must_be_chosen_from() {
    let weights = with_keys(&["model.a.b", "ema_model.a.b"]);
    let error = weights.part(None).unwrap_err().to_string();
    let words = ["2 networks", "ema_model, model", "--part NAME"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    let error = weights.part(Some("average")).unwrap_err().to_string();
    assert!(error.contains("`average`") && error.contains("ema_model, model"), "{error}");
    let error = with_keys(&["conv.weight"]).part(Some("model")).unwrap_err().to_string();
    assert!(error.contains("`model`") && error.contains("leave --part out"), "{error}");
    let nested = with_keys(&["state_dict.model.a.b", "state_dict.ema.a.b"]);
    let error = nested.part(Some("state_dict")).unwrap_err().to_string();
    assert!(error.contains("several parts") && error.contains("state_dict.ema"), "{error}");
    assert!(with_keys(&[]).part(None).is_ok() && with_keys(&[]).part(Some("")).is_err());
}

#[test]
fn a_part_keeps_what_is_known_about_the_file() {
    let mut weights = StateDict::open(&fixture("training.pt")).unwrap();
    weights.set_metadata("step", &3).unwrap();
    assert_eq!(weights.parts(), ["ema_model", "model"]);
    let part = weights.part(Some("model")).unwrap();
    assert_eq!(part.format(), Format::TorchZip);
    assert_eq!(part.metadata::<u32>("step").unwrap(), Some(3));
    assert_eq!(part.skipped(), weights.skipped());
    assert_eq!(part.iter().count(), 7);
    let parallel = StateDict::open(&fixture("parallel.pt")).unwrap();
    assert_eq!(parallel.parts(), ["state_dict"]);
    assert_eq!(keys(&parallel.part(None).unwrap()), keys(&part));
}

/// A key of wrappers within wrappers is as deep as a file is long.
#[test]
fn endless_wrappers_end() {
    let key = "model.".repeat(100_000);
    assert_eq!(with_keys(&[&key]).parts().len(), 1);
}
