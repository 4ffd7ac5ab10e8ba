//! Plans that are refused.

use super::networks::{improved, place_with_weights, put_config};
use super::support::Place;

fn refused(args: &[&str], words: &[&str]) {
    Place::new().refuses(&[&["plan"], args].concat(), words);
}

#[test]
fn a_size_that_cannot_be_halved_is_refused_with_the_next_one() {
    for network in ["improved_cifar10", "ddpm_cifar10", "unet2d_cifar10"] {
        refused(&[network, "--size", "33"], &["size 33", "multiple of 8", "40"]);
        refused(&[network, "--size", "32x30"], &["size 30", "multiple of 8", "32"]);
        refused(&[network, "--set", "size=4"], &["size 4", "multiple of 8", "such as 8"]);
    }
    refused(&["guided_imagenet512", "--size", "500"], &["size 500", "multiple of 64", "512"]);
    refused(&["ddpm_cifar10", "--set", "padding=2"], &["size 32", "2 are added", "36"]);
    refused(&["sprites", "--size", "17"], &["17x17", "16x16"]);
    refused(&["sprites", "--set", "size=17"], &["size 17", "16, 20, 24 or 28"]);
}

#[test]
fn a_size_that_is_none_is_refused() {
    for size in ["0", "-8", "big", "32x", "32x32x32", "1.5", "99999999999999999999"] {
        refused(&["improved_cifar10", &format!("--size={size}")], &[size, "32x48"]);
    }
    refused(&["improved_cifar10", "--size", "99999999999"], &["99999999999", "1048576"]);
    refused(&["improved_cifar10", "--batch", "0"], &["0", "batch"]);
}

#[test]
fn a_name_of_nothing_is_refused_with_where_names_are() {
    refused(&["imporved_cifar10"], &["imporved_cifar10", "no file", "inkdrop plan --list"]);
    refused(&["none.pt"], &["none.pt", "no file", "inkdrop plan --list"]);
    refused(&["none.json"], &["none.json", "cannot read"]);
    refused(&[], &["NETWORK", "Usage"]);
}

#[test]
fn a_field_that_cannot_be_is_named() {
    refused(&["improved_cifar10", "--set", "wings=2"], &["wings=2", "improved", "heads"]);
    refused(&["improved_cifar10", "--set", "heads=3"], &["heads", "3", "256"]);
    refused(&["unet2d_cifar10", "--set", "groups=7"], &["groups", "7", "128"]);
    refused(&["unet2d_cifar10", "--set", "size=abc"], &["size=abc", "[32, 48]"]);
    refused(&["--flags", "--num_channels many"], &["--flags", "many"]);
    refused(&["--flags", "--image_size"], &["--image_size", "no value"]);
}

#[test]
fn options_that_would_say_nothing_are_refused() {
    refused(&["improved_cifar10", "--config", "ddpm_cifar10"], &["--config", "checkpoint"]);
    refused(&["improved_cifar10", "--part", "model"], &["--part", "checkpoint"]);
    refused(&["improved_cifar10", "--flags", "--image_size 32"], &["--flags", "give one"]);
}

#[test]
fn weights_that_are_no_network_have_no_plan() {
    let place = place_with_weights("model.pt", &improved());
    put_config(&place, "net.json", &improved());
    let both = ["plan", "model.pt", "--config", "net.json", "--flags", "--image_size 32"];
    place.refuses(&both, &["--config", "--flags", "give one"]);
    let file = super::networks::fixture_name("kinds.pt");
    refused(&[&file], &["kinds.pt", "no known family"]);
    let file = super::networks::fixture_name("training.pt");
    refused(&[&file], &["--part", "model", "ema_model"]);
}
