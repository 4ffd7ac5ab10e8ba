//! Configs: what they refuse, and how they are written.

use inkdrop_unet::{
    DdpmConfig, DitConfig, ImageSize, ImprovedConfig, ImprovedFlags, ModelConfig, Unet2dArguments,
    Unet2dConfig,
};
use serde_json::json;

use super::every::all;

#[test]
fn configs_survive_json() {
    for config in all() {
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(&format!(r#""family":"{}""#, config.family())), "{text}");
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
        let more = text.replacen('{', r#"{"colour":1,"#, 1);
        assert!(serde_json::from_str::<ModelConfig>(&more).is_err(), "an unknown field passed");
    }
}

#[test]
fn sizes_are_a_number_or_two() {
    let of = |text| serde_json::from_str::<ImageSize>(text).unwrap();
    assert_eq!(of("32"), ImageSize::square(32));
    assert_eq!(of("[32, 48]"), ImageSize { height: 32, width: 48 });
    assert_eq!(serde_json::to_string(&of("[32, 48]")).unwrap(), "[32,48]");
    assert_eq!(serde_json::to_string(&of("[8, 8]")).unwrap(), "8");
    assert_eq!("32x48".parse::<ImageSize>(), Ok(of("[32, 48]")));
    for wrong in ["", "x", "32x", "0x3", "-4", "3x3x3", "1e2"] {
        assert!(wrong.parse::<ImageSize>().is_err(), "{wrong}");
    }
}

#[test]
fn fields_that_cannot_be_are_named() {
    let ddpm = |config: DdpmConfig| ModelConfig::Ddpm(config);
    let base = super::support::ddpm;
    for (config, field) in [
        (ddpm(DdpmConfig { features: 9, ..base() }), "features 9 is odd"),
        (ddpm(DdpmConfig { groups: 3, ..base() }), "groups 3 do not divide the 8 channels"),
        (ddpm(DdpmConfig { multipliers: vec![], ..base() }), "multipliers of 0 levels"),
        (ddpm(DdpmConfig { multipliers: vec![2, 2], ..base() }), "multipliers [2, 2] begin with"),
        (ddpm(DdpmConfig { multipliers: vec![1, 0], ..base() }), "multipliers 0"),
        (ddpm(DdpmConfig { multipliers: vec![1; 17], ..base() }), "multipliers of 17 levels"),
        (ddpm(DdpmConfig { blocks: 0, ..base() }), "blocks 0"),
        (ddpm(DdpmConfig { dropout: 1.0, ..base() }), "dropout 1"),
        (ddpm(DdpmConfig { dropout: f64::NAN, ..base() }), "dropout NaN"),
        (ddpm(DdpmConfig { attention: vec![2], ..base() }), "attention 2 is not a level"),
        (ddpm(DdpmConfig { padding: -1, ..base() }), "padding -1"),
        (ddpm(DdpmConfig { classes: Some(0), ..base() }), "classes 0"),
        (ddpm(DdpmConfig { time_features: Some(0), ..base() }), "time_features 0"),
        (ddpm(DdpmConfig { features: i64::MAX - 1, ..base() }), "features 92233"),
        (ddpm(DdpmConfig { features: 16384, multipliers: vec![1, 1024], ..base() }), "channels"),
    ] {
        let error = config.plan().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let improved = |config: ImprovedConfig| ModelConfig::Improved(config);
    let base = super::support::improved;
    for (config, field) in [
        (improved(ImprovedConfig { features: 48, ..base() }), "groups 32 do not divide the 48"),
        (improved(ImprovedConfig { heads: 3, ..base() }), "heads 3 do not divide the 64"),
        (improved(ImprovedConfig { heads_upsample: Some(5), ..base() }), "heads 5"),
        (improved(ImprovedConfig { head_channels: Some(7), ..base() }), "head_channels 7"),
        (improved(ImprovedConfig { heads: 0, ..base() }), "heads 0"),
        (improved(ImprovedConfig { dims: 4, ..base() }), "dims 4"),
        (improved(ImprovedConfig { multipliers: vec![f64::NAN], ..base() }), "multipliers NaN"),
        (improved(ImprovedConfig { outputs: 0, ..base() }), "outputs 0"),
    ] {
        let error = config.plan().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let base = super::support::unet2d;
    for (config, field) in [
        (Unet2dConfig { down_attention: vec![true], ..base() }, "down_attention 1 levels"),
        (Unet2dConfig { head_channels: Some(17), ..base() }, "head_channels 17 is more than"),
        (Unet2dConfig { eps: 0.0, ..base() }, "eps 0"),
        (Unet2dConfig { frequency_shift: 4.0, ..base() }, "frequency_shift 4"),
        (Unet2dConfig { middle_groups: Some(3), ..base() }, "groups 3"),
    ] {
        let error = ModelConfig::Unet2d(config).plan().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn fields_of_dit_that_cannot_be_are_named() {
    let base = super::support::dit;
    for (config, field) in [
        (DitConfig { features: 26, heads: 2, ..base() }, "features 26 is not a multiple of 4"),
        (DitConfig { heads: 5, ..base() }, "features 24 is not a multiple of heads"),
        (DitConfig { heads: 0, ..base() }, "heads 0"),
        (DitConfig { patch: 3, ..base() }, "patch 3 does not divide the size 16"),
        (DitConfig { patch: 0, ..base() }, "patch 0"),
        (DitConfig { depth: 0, ..base() }, "depth 0"),
        (DitConfig { mlp_ratio: f64::NAN, ..base() }, "mlp_ratio NaN"),
        (DitConfig { mlp_ratio: 0.01, ..base() }, "mlp_ratio 0.01"),
        (DitConfig { classes: Some(0), ..base() }, "classes 0"),
        (DitConfig { size: i64::MAX, ..base() }, "size 92233"),
        (DitConfig { outputs: 0, ..base() }, "outputs 0"),
        (DitConfig { rotary: true, heads: 4, ..base() }, "heads 4 leave 6 channels a head"),
        (DitConfig { bottleneck: Some(0), ..base() }, "bottleneck 0"),
        (DitConfig { in_context_len: -1, ..base() }, "in_context_len -1"),
        (DitConfig { in_context_len: 2, ..base() }, "in_context_len 2 needs `classes`"),
        (DitConfig { in_context_start: 2, ..base() }, "in_context_start 2"),
    ] {
        let error = ModelConfig::Dit(config).plan().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let mut other = ModelConfig::Dit(base());
    assert!(other.resize(ImageSize::square(32)).unwrap_err().to_string().contains("16x16 only"));
    assert!(other.plan_at(&[32, 32]).unwrap_err().to_string().contains("expected 16x16"));
    let of = |json| ModelConfig::from_arguments("dit", json, ImageSize::square(32));
    let small = json!({"input_size": 16, "in_channels": 3, "learn_sigma": false, "hidden_size": 128,
        "depth": 6, "num_heads": 4, "num_classes": 5});
    assert_eq!(of(small).unwrap(), ModelConfig::Dit(DitConfig::sprites()));
    let none = of(json!({"class_dropout_prob": 0})).unwrap_err().to_string();
    assert!(none.starts_with("class_dropout_prob 0 has no null class"), "{none}");
}

#[test]
fn script_flags_make_the_scripts_network() {
    let model = |flags: &str| ImprovedFlags::parse(flags.split_whitespace())?.model();
    let lsun = model(
        "--image_size 256 --num_heads=1 --attention_resolutions 16 --use_scale_shift_norm False --learn_sigma yes --lr 1e-4",
    );
    let Ok(ModelConfig::Improved(lsun)) = lsun else { panic!("{lsun:?}") };
    assert_eq!((lsun.attention, lsun.heads, lsun.scale_shift), (vec![16], 1, false));
    assert_eq!(lsun.multipliers, [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
    for (flags, words) in [
        ("--image_size 48", "image_size 48 has no default channel_mult"),
        ("--imagesize 48", "flag imagesize is unknown"),
        ("--learn_sigma maybe", "value maybe is not a boolean"),
        ("--num_channels", "flag --num_channels has no value"),
        ("num_channels 3", "flag num_channels does not start with --"),
        ("--attention_resolutions 0", "attention_resolutions 0 is not a size"),
    ] {
        let error = model(flags).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn published_arguments_have_the_published_defaults_and_no_others() {
    let size = ImageSize::square(16);
    let of = |family: &str, json| ModelConfig::from_arguments(family, json, size);
    let Ok(ModelConfig::Improved(config)) = of("improved", json!({})) else { panic!() };
    assert_eq!(config.multipliers, [1.0, 2.0, 4.0, 8.0]);
    let error = of("improved", json!({"model_chanels": 3})).unwrap_err().to_string();
    assert!(error.contains("model_chanels"), "{error}");
    let error = of("ddpm", json!({"norm": "ln"})).unwrap_err().to_string();
    assert_eq!(error, "norm ln is unknown: expected gn, bn, in or none");
    assert!(of("vit", json!({})).unwrap_err().to_string().contains("unknown family `vit`"));
}

#[test]
fn what_diffusers_can_and_we_cannot_is_listed_at_once() {
    let json = json!({
        "_class_name": "UNet2DConditionModel",
        "down_block_types": ["DownBlock2D", "SkipDownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"],
        "block_out_channels": [32, 32],
        "time_embedding_type": "fourier",
        "downsample_padding": 2,
        "class_embed_type": "identity",
        "act_fn": "tanh",
        "resnet_time_scale_shift": "spatial",
    });
    let error = ModelConfig::from_arguments("unet2d", json, ImageSize::square(32)).unwrap_err();
    let error = error.to_string();
    let fields = [
        "_class_name",
        "down_block_types",
        "time_embedding_type",
        "downsample_padding",
        "class_embed_type",
        "act_fn",
        "resnet_time_scale_shift",
    ];
    for field in fields {
        assert!(error.contains(field), "{field}: {error}");
    }
}

#[test]
fn a_diffusers_config_survives_the_way_there_and_back() {
    let configs = all().into_iter().filter_map(|config| match config {
        ModelConfig::Unet2d(config) => Some(config),
        _ => None,
    });
    for config in configs {
        let arguments = Unet2dArguments::of(&config).unwrap();
        let json = serde_json::to_value(arguments).unwrap();
        let back = ModelConfig::from_arguments("unet2d", json, ImageSize::square(1)).unwrap();
        assert_eq!(back, ModelConfig::Unet2d(config));
    }
}

#[test]
fn defaults_are_filled_in() {
    let short = r#"{"family": "ddpm", "size": 32, "channels": 3, "features": 32, "multipliers": [1], "blocks": 1}"#;
    let Ok(ModelConfig::Ddpm(config)) = serde_json::from_str(short) else { panic!() };
    assert_eq!((config.groups, config.time_features, config.dropout), (32, None, 0.1));
}
