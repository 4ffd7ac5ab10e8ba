//! What a plan says is what is built.

use inkdrop_torch::tch::no_grad_guard;
use inkdrop_unet::{
    DdpmConfig, DitConfig, Edm2Config, EdmConfig, ImprovedConfig, LucidConfig, ModelConfig, Preset,
    Unet2dConfig,
};

use super::every::all;
use super::support::{build, ddpm, dit, edm, edm2, improved, inputs, jit, lucid, unet2d};

#[test]
fn the_plan_counts_what_is_built() {
    for config in all() {
        let (plan, network) = (config.plan().unwrap(), build(&config));
        let built = network.params().trained_count() as i64;
        assert_eq!(plan.parameters(), built, "{config:?}");
    }
}

#[test]
fn the_plan_ends_in_the_shape_that_comes_out() {
    let _guard = no_grad_guard();
    for config in all() {
        let (x, t, conditioning) = inputs(&config);
        let out = build(&config).forward(&x, &t, &conditioning).unwrap();
        assert_eq!(out.size()[1], config.outputs());
        assert_eq!(out.size()[2..], x.size()[2..], "{config:?}");
        let plan = config.plan_at(&x.size()[2..]).unwrap();
        assert_eq!(plan.stages().last().unwrap().output, out.size()[1..]);
    }
}

/// Nichol & Dhariwal 2021 and Dhariwal & Nichol 2021 with their READMEs; Ho et al. 2020; and
/// floors counted from the published networks.
#[test]
fn presets_have_the_published_sizes() {
    let published = [
        ("sprites", 1.48, Some(0.30)),
        ("ddpm_cifar10", 35.75, Some(12.4)),
        ("improved_cifar10", 52.55, Some(16.8)),
        ("improved_imagenet64", 121.06, Some(79.5)),
        ("improved_imagenet64_cond", 273.0, None),
        ("improved_upsample_64_256", 279.8, None),
        ("improved_lsun_bedroom", 113.7, None),
        ("guided_imagenet64", 295.9, None),
        ("guided_imagenet128", 421.5, None),
        ("guided_imagenet256", 553.8, None),
        ("guided_imagenet256_uncond", 552.8, None),
        ("guided_imagenet512", 559.0, None),
        ("guided_upsample_64_256", 311.8, None),
        ("guided_upsample_128_512", 308.8, None),
        ("guided_lsun", 552.8, None),
        ("consistency_imagenet64", 295.9, None),
        ("consistency_lsun256", 526.3, None),
        ("unet2d_cifar10", 35.75, Some(12.4)),
        ("lucid", 35.71, None),
        ("lucid_classes", 38.39, None),
        ("dit_sprites", 1.87, None),
    ];
    let edm = Preset::ALL.iter().filter(|preset| preset.name.starts_with("edm"));
    let dit = Preset::ALL
        .iter()
        .filter(|preset| preset.name.starts_with("dit_") && preset.name.ends_with('2'))
        .count();
    let jit = Preset::ALL.iter().filter(|preset| preset.name.starts_with("jit_")).count();
    assert_eq!(published.len() + edm.count() + dit + jit, Preset::ALL.len());
    for (name, millions, gflop) in published {
        let plan = ModelConfig::preset(name).unwrap().plan().unwrap();
        let ours = plan.parameters() as f64 / 1e6;
        assert!((ours - millions).abs() < 0.051, "{name}: {ours} million");
        if let Some(gflop) = gflop {
            assert!((plan.gflop() / gflop - 1.0).abs() < 0.01, "{name}: {} GFLOP", plan.gflop());
        }
    }
    assert!(ModelConfig::preset("nothing").is_none());
}

/// Counted from denoising-diffusion-pytorch 2.3.4.
#[test]
fn lucidrains_networks_have_their_parameters() {
    let base = LucidConfig::readme();
    for (config, parameters) in [
        (base.clone(), 35_711_491),
        (LucidConfig { self_condition: true, ..base.clone() }, 35_720_899),
        (LucidConfig { channels: 32, outputs: 32, dims: 1, ..base.clone() }, 14_869_408),
        (LucidConfig { classes: Some(10), ..base }, 38_391_235),
    ] {
        assert_eq!(ModelConfig::Lucid(config).plan().unwrap().parameters(), parameters);
    }
}

/// Counted from the published networks on PyTorch's meta device.
#[test]
fn presets_of_edm_have_the_published_numbers_of_parameters() {
    let published = [
        ("edm_cifar10", 55_733_891),
        ("edm_cifar10_cond", 55_735_299),
        ("edm_cifar10_ve", 56_397_827),
        ("edm_cifar10_ve_cond", 56_400_643),
        ("edm_ffhq", 61_805_571),
        ("edm_ffhq_ve", 62_761_091),
        ("edm_imagenet64", 295_899_267),
        ("edm2_img512_xxs", 31_309_029),
        ("edm2_img512_xs", 124_713_253),
        ("edm2_img512_s", 280_212_837),
        ("edm2_img512_m", 497_807_781),
        ("edm2_img512_l", 777_498_085),
        ("edm2_img512_xl", 1_119_283_749),
        ("edm2_img512_xxl", 1_523_164_773),
        ("edm2_img64_xs", 124_710_949),
        ("edm2_img64_s", 280_209_381),
        ("edm2_img64_m", 497_803_173),
        ("edm2_img64_l", 777_492_325),
        ("edm2_img64_xl", 1_119_276_837),
    ];
    for (name, parameters) in published {
        let config = ModelConfig::preset(name).unwrap();
        assert_eq!(config.plan().unwrap().parameters(), parameters, "{name}");
        let small = parameters < 60_000_000;
        let built = || {
            let device = inkdrop_torch::tch::Device::Cpu;
            config.build_uninitialized(inkdrop_torch::tch::Kind::Float, device).unwrap()
        };
        if small {
            assert_eq!(built().params().trained_count() as i64, parameters, "{name}");
        }
    }
    let ModelConfig::Edm(mut iddpm) = ModelConfig::preset("edm_imagenet64").unwrap() else {
        unreachable!("a network of EDM")
    };
    iddpm.outputs = 6;
    assert_eq!(ModelConfig::Edm(iddpm).plan().unwrap().parameters(), 295_904_454);
}

/// Peebles & Xie 2023, table 4: parameters in millions and GFLOPs, which count multiply-accumulates. The positions are
/// parameters of the original that are not trained.
#[test]
fn presets_of_dit_have_the_published_sizes() {
    for (name, millions, parameters, products) in [
        ("dit_s2", 33, 32_963_360, 6.06),
        ("dit_b2", 130, 130_512_416, 23.01),
        ("dit_l2", 458, 458_102_816, 80.71),
        ("dit_xl2", 675, 675_129_632, 118.64),
    ] {
        let config = ModelConfig::preset(name).unwrap();
        let ModelConfig::Dit(DitConfig { features, .. }) = config else { panic!("{name}") };
        let plan = config.plan().unwrap();
        assert_eq!(plan.parameters() + 256 * features, parameters, "{name}");
        assert_eq!((plan.parameters() as f64 / 1e6).round() as i64, millions, "{name}");
        let ours = plan.gflop() / 2.0;
        assert!((ours / products - 1.0).abs() < 0.002, "{name}: {ours}");
    }
}

/// Li & He 2025: parameters in millions and GFLOPs, which count multiply-accumulates.
#[test]
fn presets_of_jit_have_the_published_sizes() {
    for (name, millions, products) in
        [("jit_b16", 131, 25.0), ("jit_l16", 459, 88.0), ("jit_h16", 953, 182.0)]
    {
        let plan = ModelConfig::preset(name).unwrap().plan().unwrap();
        assert_eq!((plan.parameters() as f64 / 1e6).round() as i64, millions, "{name}");
        let ours = plan.gflop() / 2.0;
        assert!((ours / products - 1.0).abs() < 0.03, "{name}: {ours}");
    }
}

#[test]
fn work_grows_with_the_image_and_memory_with_the_batch() {
    // Attention alone grows with the square of the places.
    let none = vec![false; 2];
    let config = ModelConfig::Unet2d(Unet2dConfig {
        down_attention: none.clone(),
        up_attention: none,
        middle_attention: false,
        ..unet2d()
    });
    let [small, large] = [16, 32].map(|side| config.plan_at(&[side, side]).unwrap());
    let ratio = large.gflop() / small.gflop();
    assert!((3.9..=4.0).contains(&ratio), "{ratio}"); // the embedding does not grow
    let of = |batch| large.memory(batch).training - 4 * large.memory(batch).weights;
    assert_eq!(of(8), 8 * of(1));
}

#[test]
fn checkpointing_keeps_less() {
    for (plain, saving) in [
        (ModelConfig::Ddpm(ddpm()), ModelConfig::Ddpm(DdpmConfig { checkpoint: true, ..ddpm() })),
        (
            ModelConfig::Improved(improved()),
            ModelConfig::Improved(ImprovedConfig { checkpoint: true, ..improved() }),
        ),
        (
            ModelConfig::Unet2d(unet2d()),
            ModelConfig::Unet2d(Unet2dConfig { checkpoint: true, ..unet2d() }),
        ),
        (
            ModelConfig::Lucid(lucid()),
            ModelConfig::Lucid(LucidConfig { checkpoint: true, ..lucid() }),
        ),
        (ModelConfig::Dit(dit()), ModelConfig::Dit(DitConfig { checkpoint: true, ..dit() })),
        (ModelConfig::Dit(jit()), ModelConfig::Dit(DitConfig { checkpoint: true, ..jit() })),
        (ModelConfig::Edm(edm()), ModelConfig::Edm(EdmConfig { checkpoint: true, ..edm() })),
        (ModelConfig::Edm2(edm2()), ModelConfig::Edm2(Edm2Config { checkpoint: true, ..edm2() })),
    ] {
        let kept = |config: &ModelConfig| -> i64 {
            config.plan().unwrap().stages().iter().map(|stage| stage.kept).sum()
        };
        assert!(kept(&saving) * 2 < kept(&plain), "{} of {}", kept(&saving), kept(&plain));
    }
}

#[test]
fn rectangles_plan_and_odd_sizes_are_refused() {
    let config = ModelConfig::Ddpm(DdpmConfig { multipliers: vec![1, 2, 2], ..ddpm() });
    assert_eq!(config.plan_at(&[24, 40]).unwrap().stages().last().unwrap().output, [3, 24, 40]);
    let error = config.plan_at(&[24, 42]).unwrap_err().to_string();
    assert_eq!(error, "size 42 cannot be halved 2 times: expected a multiple of 4, such as 44");
    assert!(config.plan_at(&[24]).unwrap_err().to_string().contains("axes"));
    assert!(config.plan_at(&[0, 0]).is_err() && config.plan_at(&[-4, 4]).is_err());
    assert!(config.plan_at(&[i64::MAX, 4]).is_err());
}
