//! The networks of the papers and of the published checkpoints, by name.

use crate::{ContextConfig, DdpmConfig, ImprovedFlags, LucidConfig, ModelConfig, Unet2dConfig};

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
    /// Flags of improved- and guided-diffusion's scripts, from their READMEs.
    Flags(&'static str),
}

const fn flags(name: &'static str, about: &'static str, flags: &'static str) -> Preset {
    Preset { name, about, make: Make::Flags(flags) }
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 20] = [
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
            about: "lucidrains' Unet(dim=64, dim_mults=(1, 2, 4, 8)) of the front page",
            make: Make::Lucid,
        },
        Self {
            name: "lucid_classes",
            about: "the same in classifier_free_guidance, 10 classes",
            make: Make::LucidClasses,
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
