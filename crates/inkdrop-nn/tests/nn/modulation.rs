//! The embedding cache, and the fused projection of the conditioning.

use inkdrop_nn::FnNetwork;
use inkdrop_nn::{
    BlockConditioning, ClassIds, CompileOptions, Conditioning, EmbedSequential, EmbeddingCache,
    EmbeddingCacheKey, FusedProjectionBuilder, LayerConfig, Mode, NormConfig, NormKind, Params,
    ResBlockConfig,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::support::{F64, max_difference, params, stir};

/// Rows of timestep and class.
fn time_and_class(t: &Tensor, classes: Option<&Tensor>) -> Tensor {
    let class = classes.map_or_else(|| t.full_like(-1.0), |ids| ids.to_kind(Kind::Double));
    Tensor::stack(&[t.shallow_clone(), class], 1)
}

fn table(options: &CompileOptions, classes: Option<i64>) -> Option<EmbeddingCache> {
    EmbeddingCache::new(options, classes, Device::Cpu, |t, ids| Ok(Some(time_and_class(t, ids))))
        .unwrap()
}

fn row(table: &EmbeddingCache, time: f64, class: Option<i64>) -> Option<[f64; 2]> {
    let row = table.row(&EmbeddingCacheKey { time, class, interval: None }).unwrap()?;
    assert_eq!(row.size(), [1, 2]);
    Some([row.double_value(&[0, 0]), row.double_value(&[0, 1])])
}

#[test]
fn a_table_finds_the_row_of_each_time_with_each_class() {
    let options =
        CompileOptions { classes: vec![4, 0, 4], ..CompileOptions::at([10.0, 0.0, 2.5, 10.0]) };
    let known = table(&options, Some(5)).unwrap();
    for time in [10.0, 0.0, 2.5] {
        for class in [4, 0] {
            assert_eq!(row(&known, time, Some(class)), Some([time, class as f64]));
        }
        assert_eq!(row(&known, time, Some(1)), None);
        assert_eq!(row(&known, time, None), None);
    }
    assert_eq!(row(&known, 10.5, Some(4)), None);
    let classless = table(&options, None).unwrap();
    assert_eq!(row(&classless, 2.5, None), Some([2.5, -1.0]));
    assert_eq!(row(&classless, 2.5, Some(4)), None);
}

#[test]
fn there_is_no_table_of_nothing() {
    assert!(table(&CompileOptions::default(), None).is_none());
    assert!(
        table(&CompileOptions { classes: vec![1], ..CompileOptions::default() }, Some(5)).is_none()
    );
    assert!(table(&CompileOptions::at([1.0]), Some(5)).is_none(), "no class is known");
    let outside = CompileOptions { classes: vec![5, -1, i64::MIN], ..CompileOptions::at([1.0]) };
    assert!(table(&outside, Some(5)).is_none());
    let none = EmbeddingCache::new(&CompileOptions::at([1.0]), None, Device::Cpu, |_, _| Ok(None));
    assert!(none.unwrap().is_none());
    // On a GPU there is no cache: `rows` is not called.
    let gpu = EmbeddingCache::new(
        &CompileOptions::at([1.0]),
        None,
        Device::Cuda(0),
        |_, _| unreachable!(),
    );
    assert!(gpu.unwrap().is_none());
}

#[test]
fn another_number_of_rows_is_an_error() {
    let rows = |t: &Tensor, _: Option<&Tensor>| Ok(Some(t.narrow(0, 0, 1)));
    let error =
        EmbeddingCache::new(&CompileOptions::at([1.0, 2.0]), None, Device::Cpu, rows).unwrap_err();
    assert!(error.to_string().contains("[1] rows for 2 times"), "{error}");
}

fn key(t: &Tensor, classes: Option<&[i64]>) -> Option<EmbeddingCacheKey> {
    let conditioning = classes.map_or_else(Conditioning::none, |ids| {
        Conditioning::classes(ClassIds::new(ids, Device::Cpu).unwrap())
    });
    EmbeddingCacheKey::of(t, &conditioning).unwrap()
}

#[test]
fn a_key_is_the_timestep_and_class_of_all_images() {
    let of = |times: &[f32]| Tensor::from_slice(times);
    let shared = |time, class| Some(EmbeddingCacheKey { time, class, interval: None });
    assert_eq!(key(&of(&[0.5; 3]), None), shared(0.5, None));
    assert_eq!(key(&of(&[0.1]), None), shared(f64::from(0.1f32), None));
    assert_eq!(key(&Tensor::from_slice(&[999i64; 2]), None), shared(999.0, None));
    assert_eq!(key(&of(&[0.5; 3]), Some(&[4; 3])), shared(0.5, Some(4)));
    assert_eq!(key(&of(&[0.5; 3]), Some(&[4, 4, 3])), None);
    assert_eq!(key(&of(&[0.5, 0.5, 0.25]), None), None);
    assert_eq!(key(&of(&[0.5, 0.25]), Some(&[1, 1])), None);
    assert_eq!(key(&of(&[]), None), None);
    assert_eq!(key(&of(&[f32::NAN; 2]), None), None, "NaN equals nothing");
}

/// Blocks of one network: their layers, and their tables, become one.
fn stage(config: &ResBlockConfig) -> (EmbedSequential, Params) {
    let mut params = params();
    let wider = ResBlockConfig { inputs: config.outputs, outputs: 48, ..config.clone() };
    let layers = [("0", LayerConfig::Res(config.clone())), ("1", LayerConfig::Res(wider))];
    let stage = EmbedSequential::new(&mut params.root(), &layers, false).unwrap();
    stir(&params);
    (stage, params)
}

#[test]
fn the_fused_projection_gives_each_block_its_own_modulation() {
    let ddpm =
        ResBlockConfig { norm: NormConfig::groups(4), ..ResBlockConfig::ddpm(16, 32, Some(8)) };
    let improved =
        ResBlockConfig { norm: NormConfig::groups(4), ..ResBlockConfig::improved(16, 32, 8) };
    let instance = NormConfig { kind: NormKind::Instance, ..improved.norm };
    let embedding = Tensor::randn([3, 8], F64);
    let classes = Tensor::from_slice(&[2i64, 0, 2]);
    for config in [
        ddpm.clone(),
        ResBlockConfig { classes: Some(3), ..ddpm.clone() },
        ResBlockConfig { classes: Some(3), embedding: None, ..ddpm.clone() },
        ResBlockConfig { embedding: None, ..ddpm },
        ResBlockConfig { scale_shift: true, ..improved.clone() },
        ResBlockConfig { scale_shift: true, norm: instance, divisor: 1.5, ..improved.clone() },
        improved,
    ] {
        let (trained, _params) = stage(&config);
        for pack in [true, false] {
            let mut fused = FusedProjectionBuilder::default();
            let options = CompileOptions { pack, ..CompileOptions::default() };
            let ready = trained.compile(&options, &mut fused).unwrap();
            let layers = fused.finish().unwrap();
            for batch in [1, 3] {
                let conditioning = BlockConditioning {
                    embedding: config.embedding.map(|_| embedding.narrow(0, 0, batch)),
                    class_ids: config.classes.map(|_| classes.narrow(0, 0, batch)),
                    ..BlockConditioning::default()
                };
                let modulation = layers.rows(&conditioning).unwrap();
                let projected = config.embedding.is_some() || config.classes.is_some();
                let width = (32 + 48) * if config.scale_shift { 2 } else { 1 };
                assert_eq!(
                    modulation.as_ref().map(Tensor::size),
                    projected.then(|| vec![batch, width])
                );
                let fused = BlockConditioning { modulation, ..BlockConditioning::default() };
                let x = Tensor::randn([3, 16, 5, 4], F64);
                // One row is for all images.
                let conditioning = if batch == 1 {
                    let all = |rows: &Tensor| {
                        rows.index_select(0, &Tensor::zeros([3], (Kind::Int64, Device::Cpu)))
                    };
                    BlockConditioning {
                        embedding: conditioning.embedding.as_ref().map(all),
                        class_ids: conditioning.class_ids.as_ref().map(all),
                        ..BlockConditioning::default()
                    }
                } else {
                    conditioning
                };
                let expected = trained.forward(&x, &conditioning, Mode::Eval).unwrap();
                let out = ready.forward(&x, &fused, Mode::Eval).unwrap();
                assert!(max_difference(&out, &expected) < 1e-11, "{config:?}");
            }
        }
    }
}

#[test]
fn no_blocks_have_no_projection() {
    let projection = FusedProjectionBuilder::default().finish().unwrap();
    let conditioning = BlockConditioning::embedding(Tensor::randn([2, 8], F64));
    assert!(projection.rows(&conditioning).unwrap().is_none());
    assert!(projection.rows(&BlockConditioning::default()).unwrap().is_none());
}

#[test]
fn options_box_a_network_as_it_is_on_the_cpu() {
    let network = FnNetwork::new(|x, _, _| Ok(x.shallow_clone()));
    let boxed = CompileOptions::default().finish(network);
    let x = Tensor::randn([1, 1], F64);
    assert_eq!(boxed.forward(&x, &x, &Conditioning::none()).unwrap(), x);
}
