//! An autoencoder of the widths, the activations and the schedule of ours, trained by candle, on the sets that `bench/api_detectors.py` wrote:
//! for each `NAME.D.rows` of a directory it writes `NAME.D.candle`, the mean squared error of each row, which that script then reads.

use std::path::Path;
use std::time::Instant;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::leaky_relu;
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear};

const BATCH: usize = 128;

struct Network([Linear; 4]);

impl Network {
    fn new(d: usize, vars: VarBuilder<'_>) -> Result<Self> {
        let (hidden, code) = (d.div_ceil(2).max(8), d.div_ceil(4));
        Ok(Self([
            linear(d, hidden, vars.pp("0"))?,
            linear(hidden, code, vars.pp("1"))?,
            linear(code, hidden, vars.pp("2"))?,
            linear(hidden, d, vars.pp("3"))?,
        ]))
    }

    fn errors(&self, rows: &Tensor) -> Result<Tensor> {
        let [first, second, third, last] = &self.0;
        let code = second.forward(&leaky_relu(&first.forward(rows)?, 0.01)?)?;
        let rebuilt = last.forward(&leaky_relu(&third.forward(&code)?, 0.01)?)?;
        (rebuilt - rows)?.sqr()?.mean(D::Minus1)
    }
}

/// Standardised and clipped at ten deviations.
fn scaled(mut rows: Vec<f32>, d: usize) -> Vec<f32> {
    let n = (rows.len() / d) as f64;
    for column in 0..d {
        let values = || rows.iter().skip(column).step_by(d).map(|v| f64::from(*v));
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        for value in rows.iter_mut().skip(column).step_by(d) {
            let apart = if deviation > 0.0 {
                (f64::from(*value) - mean) / deviation
            } else {
                0.0
            };
            *value = apart.clamp(-10.0, 10.0) as f32;
        }
    }
    rows
}

fn train(all: &Tensor, rows: usize, d: usize) -> Result<(Vec<f32>, usize)> {
    let vars = VarMap::new();
    let network = Network::new(d, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let params = ParamsAdamW {
        lr: 2e-3,
        weight_decay: 1e-4,
        ..ParamsAdamW::default()
    };
    let mut adam = AdamW::new(vars.all_vars(), params)?;
    // Rows come in no order that means something: the first tenth is held out.
    let few = rows.min(16_384);
    let held = all.narrow(0, 0, few / 10)?;
    let (mut best, mut kept, mut at) = (f32::INFINITY, vec![], 0);
    let mut order: Vec<u32> = (few as u32 / 10..few as u32).collect();
    let mut state = 1_u64;
    for epoch in 1..=100 {
        for place in (1..order.len()).rev() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            order.swap(place, (state >> 33) as usize % (place + 1));
        }
        for batch in order.chunks(BATCH) {
            let places = Tensor::from_slice(batch, batch.len(), &Device::Cpu)?;
            adam.backward_step(&network.errors(&all.index_select(&places, 0)?)?.mean_all()?)?;
        }
        let loss = network.errors(&held)?.mean_all()?.to_scalar::<f32>()?;
        if loss < best {
            (best, kept, at) = (loss, network.errors(all)?.to_vec1()?, epoch);
        } else if epoch - at >= 8 {
            break;
        }
    }
    Ok((kept, at))
}

fn main() -> Result<()> {
    let directory = std::env::args()
        .nth(1)
        .expect("a directory that bench/api_detectors.py filled");
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.with_extension("");
        let d = stem
            .extension()
            .and_then(|d| d.to_str()?.parse::<usize>().ok());
        let (Some(d), true) = (d, path.extension().is_some_and(|e| e == "rows")) else {
            continue;
        };
        let bytes = std::fs::read(Path::new(&path))?;
        let rows: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        let count = rows.len() / d;
        let all = Tensor::from_vec(scaled(rows, d), (count, d), &Device::Cpu)?;
        let started = Instant::now();
        let (errors, epochs) = train(&all, count, d)?;
        println!(
            "{}: {:.2} s, {epochs} passes",
            stem.display(),
            started.elapsed().as_secs_f64()
        );
        let out: Vec<u8> = errors.iter().flat_map(|e| e.to_le_bytes()).collect();
        std::fs::write(path.with_extension("candle"), out)?;
    }
    Ok(())
}
