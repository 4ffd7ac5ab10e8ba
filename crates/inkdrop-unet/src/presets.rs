//! The networks of the papers and of the published checkpoints, by name.

use crate::{
    ContextConfig, DdpmConfig, DitConfig, Edm2Config, EdmArchitecture, EdmConfig, ImprovedFlags,
    LucidConfig, ModelConfig, SongConfig, Unet2dConfig,
};

/// A network and where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// A short description.
    pub about: &'static str,
    make: Make,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    Sprites,
    DdpmCifar10,
    Unet2dCifar10,
    Lucid,
    LucidClasses,
    /// EDM's SongUNet: DDPM++, or else NCSN++.
    EdmSong {
        size: i64,
        ddpmpp: bool,
        classes: Option<i64>,
    },
    EdmImagenet64,
    /// Channels of the images, and of the first level.
    Edm2([i64; 2]),
    /// Features, blocks and heads for latents of ImageNet.
    Dit([i64; 3]),
    /// Features, blocks, heads and bottleneck for pixels of ImageNet.
    Jit([i64; 4]),
    DitSprites,
    /// Flags of improved- and guided-diffusion's scripts, from their READMEs.
    Flags(&'static str),
}

const fn flags(name: &'static str, about: &'static str, flags: &'static str) -> Preset {
    Preset { name, about, make: Make::Flags(flags) }
}

const fn edm(name: &'static str, about: &'static str, make: Make) -> Preset {
    Preset { name, about, make }
}

const fn edm2(name: &'static str, about: &'static str, widths: [i64; 2]) -> Preset {
    Preset { name, about, make: Make::Edm2(widths) }
}

const fn jit(name: &'static str, about: &'static str, sizes: [i64; 4]) -> Preset {
    Preset { name, about, make: Make::Jit(sizes) }
}

const fn dit(name: &'static str, about: &'static str, sizes: [i64; 3]) -> Preset {
    Preset { name, about, make: Make::Dit(sizes) }
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 47] = [
        Self {
            name: "sprites",
            about: "the sprites notebook's ContextUnet, 16x16, 5 contexts",
            make: Make::Sprites,
        },
        Self {
            name: "ddpm_cifar10",
            about: "nanodiffusion's script, after Ho et al. 2020",
            make: Make::DdpmCifar10,
        },
        flags(
            "improved_cifar10",
            "cifar10_uncond_50M_500K.pt and its vlb sibling",
            "--image_size 32 --num_channels 128 --num_res_blocks 3 --learn_sigma True --dropout 0.3",
        ),
        flags(
            "improved_imagenet64",
            "imagenet64_uncond_100M_1500K.pt",
            "--image_size 64 --num_channels 128 --num_res_blocks 3 --learn_sigma True",
        ),
        flags(
            "improved_imagenet64_cond",
            "imagenet64_cond_270M_250K.pt, 1000 classes",
            "--image_size 64 --num_channels 192 --num_res_blocks 3 --learn_sigma True --class_cond True",
        ),
        flags(
            "improved_upsample_64_256",
            "upsample_cond_500K.pt: super-resolution, 1000 classes",
            "--large_size 256 --small_size 64 --num_channels 192 --num_res_blocks 2 --learn_sigma True --class_cond True",
        ),
        flags(
            "improved_lsun_bedroom",
            "lsun_uncond_100M_2400K_bs64.pt",
            "--image_size 256 --num_channels 128 --num_res_blocks 2 --num_heads 1 --learn_sigma True --use_scale_shift_norm False --attention_resolutions 16",
        ),
        flags(
            "guided_imagenet64",
            "64x64_diffusion.pt, 1000 classes",
            "--attention_resolutions 32,16,8 --class_cond True --dropout 0.1 --image_size 64 --learn_sigma True --num_channels 192 --num_head_channels 64 --num_res_blocks 3 --resblock_updown True --use_new_attention_order True",
        ),
        flags(
            "guided_imagenet128",
            "128x128_diffusion.pt, 1000 classes",
            "--attention_resolutions 32,16,8 --class_cond True --image_size 128 --learn_sigma True --num_channels 256 --num_heads 4 --num_res_blocks 2 --resblock_updown True",
        ),
        flags(
            "guided_imagenet256",
            "256x256_diffusion.pt, 1000 classes",
            "--attention_resolutions 32,16,8 --class_cond True --image_size 256 --learn_sigma True --num_channels 256 --num_head_channels 64 --num_res_blocks 2 --resblock_updown True",
        ),
        flags(
            "guided_imagenet256_uncond",
            "256x256_diffusion_uncond.pt",
            "--attention_resolutions 32,16,8 --image_size 256 --learn_sigma True --num_channels 256 --num_head_channels 64 --num_res_blocks 2 --resblock_updown True",
        ),
        flags(
            "guided_imagenet512",
            "512x512_diffusion.pt, 1000 classes",
            "--attention_resolutions 32,16,8 --class_cond True --image_size 512 --learn_sigma True --num_channels 256 --num_head_channels 64 --num_res_blocks 2 --resblock_updown True",
        ),
        flags(
            "guided_upsample_64_256",
            "64_256_upsampler.pt: super-resolution, 1000 classes",
            "--attention_resolutions 32,16,8 --class_cond True --large_size 256 --small_size 64 --learn_sigma True --num_channels 192 --num_heads 4 --num_res_blocks 2 --resblock_updown True",
        ),
        flags(
            "guided_upsample_128_512",
            "128_512_upsampler.pt: super-resolution, 1000 classes",
            "--attention_resolutions 32,16 --class_cond True --large_size 512 --small_size 128 --learn_sigma True --num_channels 192 --num_head_channels 64 --num_res_blocks 2 --resblock_updown True",
        ),
        flags(
            "guided_lsun",
            "lsun_bedroom.pt, lsun_cat.pt, lsun_horse.pt",
            "--attention_resolutions 32,16,8 --dropout 0.1 --image_size 256 --learn_sigma True --num_channels 256 --num_head_channels 64 --num_res_blocks 2 --resblock_updown True",
        ),
        flags(
            "consistency_imagenet64",
            "cd_imagenet64_l2.pt, ct_imagenet64.pt, 1000 classes",
            "--attention_resolutions 32,16,8 --class_cond True --image_size 64 --num_channels 192 --num_head_channels 64 --num_res_blocks 3 --resblock_updown True --use_new_attention_order True",
        ),
        flags(
            "consistency_lsun256",
            "cd_bedroom256_l2.pt, ct_cat256.pt and their siblings",
            "--attention_resolutions 32,16,8 --image_size 256 --num_channels 256 --num_head_channels 64 --num_res_blocks 2 --resblock_updown True --use_new_attention_order True --use_scale_shift_norm False",
        ),
        Self {
            name: "unet2d_cifar10",
            about: "google/ddpm-cifar10-32 in diffusers' layout",
            make: Make::Unet2dCifar10,
        },
        Self {
            name: "lucid",
            about: "lucidrains' Unet(64, dim_mults=(1, 2, 4, 8))",
            make: Make::Lucid,
        },
        Self {
            name: "lucid_classes",
            about: "the same in classifier_free_guidance, 10 classes",
            make: Make::LucidClasses,
        },
        edm(
            "edm_cifar10",
            "edm-cifar10-32x32-uncond-vp: DDPM++",
            Make::EdmSong { size: 32, ddpmpp: true, classes: None },
        ),
        edm(
            "edm_cifar10_cond",
            "edm-cifar10-32x32-cond-vp: DDPM++, 10 classes",
            Make::EdmSong { size: 32, ddpmpp: true, classes: Some(10) },
        ),
        edm(
            "edm_cifar10_ve",
            "edm-cifar10-32x32-uncond-ve: NCSN++",
            Make::EdmSong { size: 32, ddpmpp: false, classes: None },
        ),
        edm(
            "edm_cifar10_ve_cond",
            "edm-cifar10-32x32-cond-ve: NCSN++, 10 classes",
            Make::EdmSong { size: 32, ddpmpp: false, classes: Some(10) },
        ),
        edm(
            "edm_ffhq",
            "edm-ffhq-64x64-uncond-vp, afhqv2: DDPM++",
            Make::EdmSong { size: 64, ddpmpp: true, classes: None },
        ),
        edm(
            "edm_ffhq_ve",
            "edm-ffhq-64x64-uncond-ve, afhqv2: NCSN++",
            Make::EdmSong { size: 64, ddpmpp: false, classes: None },
        ),
        edm("edm_imagenet64", "edm-imagenet-64x64-cond-adm, 1000 classes", Make::EdmImagenet64),
        edm2("edm2_img512_xxs", "edm2-img512-xxs: latents, 1000 classes", [4, 64]),
        edm2("edm2_img512_xs", "edm2-img512-xs: latents, 1000 classes", [4, 128]),
        edm2("edm2_img512_s", "edm2-img512-s: latents, 1000 classes", [4, 192]),
        edm2("edm2_img512_m", "edm2-img512-m: latents, 1000 classes", [4, 256]),
        edm2("edm2_img512_l", "edm2-img512-l: latents, 1000 classes", [4, 320]),
        edm2("edm2_img512_xl", "edm2-img512-xl: latents, 1000 classes", [4, 384]),
        edm2("edm2_img512_xxl", "edm2-img512-xxl: latents, 1000 classes", [4, 448]),
        edm2("edm2_img64_xs", "the network of edm2-img512-xs for 64x64 images", [3, 128]),
        edm2("edm2_img64_s", "edm2-img64-s, 1000 classes", [3, 192]),
        edm2("edm2_img64_m", "edm2-img64-m, 1000 classes", [3, 256]),
        edm2("edm2_img64_l", "edm2-img64-l, 1000 classes", [3, 320]),
        edm2("edm2_img64_xl", "edm2-img64-xl, 1000 classes", [3, 384]),
        dit("dit_s2", "DiT-S/2: latents of 256x256, 1000 classes", [384, 12, 6]),
        dit("dit_b2", "DiT-B/2: latents of 256x256, 1000 classes", [768, 12, 12]),
        dit("dit_l2", "DiT-L/2: latents of 256x256, 1000 classes", [1024, 24, 16]),
        dit("dit_xl2", "DiT-XL-2-256x256.pt: latents, 1000 classes", [1152, 28, 16]),
        jit("jit_b16", "JiT-B/16: 256x256 pixels, 1000 classes", [768, 12, 12, 128]),
        jit("jit_l16", "JiT-L/16: 256x256 pixels, 1000 classes", [1024, 24, 16, 128]),
        jit("jit_h16", "JiT-H/16: 256x256 pixels, 1000 classes", [1280, 32, 16, 256]),
        Self {
            name: "dit_sprites",
            about: "a small DiT for the sprites, 16x16, 5 classes",
            make: Make::DitSprites,
        },
    ];

    /// The network.
    pub fn config(&self) -> ModelConfig {
        match self.make {
            Make::Sprites => ModelConfig::Context(ContextConfig::sprites()),
            Make::DdpmCifar10 => ModelConfig::Ddpm(DdpmConfig::cifar10()),
            Make::Unet2dCifar10 => ModelConfig::Unet2d(Unet2dConfig::cifar10()),
            Make::Lucid => ModelConfig::Lucid(LucidConfig::readme()),
            Make::LucidClasses => {
                ModelConfig::Lucid(LucidConfig { classes: Some(10), ..LucidConfig::readme() })
            }
            Make::EdmSong { size, ddpmpp, classes } => {
                let base = if size == 32 { EdmConfig::cifar10() } else { EdmConfig::ffhq() };
                let song = if ddpmpp { SongConfig::default() } else { SongConfig::ncsnpp() };
                let architecture = EdmArchitecture::Song(song);
                ModelConfig::Edm(EdmConfig { architecture, classes, ..base })
            }
            Make::EdmImagenet64 => ModelConfig::Edm(EdmConfig::imagenet64()),
            Make::Edm2([channels, features]) => {
                ModelConfig::Edm2(Edm2Config { channels, ..Edm2Config::imagenet512(features) })
            }
            Make::Dit(sizes) => ModelConfig::Dit(DitConfig::imagenet256(sizes)),
            Make::Jit(sizes) => ModelConfig::Dit(DitConfig::jit256(sizes)),
            Make::DitSprites => ModelConfig::Dit(DitConfig::sprites()),
            Make::Flags(flags) => ImprovedFlags::parse(flags.split_whitespace())
                .and_then(|flags| flags.model())
                .expect("the flags of the presets are those of the READMEs"),
        }
    }
}

impl ModelConfig {
    /// The network of a preset's name.
    ///
    /// ```
    /// use inkdrop_unet::ModelConfig;
    ///
    /// let model = ModelConfig::preset("improved_cifar10").expect("a known name");
    /// assert_eq!(model.plan()?.parameters(), 52_546_438);
    /// # Ok::<(), inkdrop_unet::ConfigError>(())
    /// ```
    pub fn preset(name: &str) -> Option<Self> {
        Preset::ALL.iter().find(|preset| preset.name == name).map(Preset::config)
    }
}
