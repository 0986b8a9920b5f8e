#![expect(clippy::float_cmp, reason = "small whole numbers are exact")]

use super::*;
use crate::learner::{LearnerError, seal};
use crate::rng::SplitMix64;
use gleaner_proto::learners as wire;

/// Rows around `k` well separated centres.
#[expect(clippy::cast_possible_truncation, reason = "test data")]
fn blobs(count: usize, k: usize, d: usize) -> Vec<f32> {
    let mut rng = SplitMix64::new(17);
    let centres: Vec<f64> = (0..k * d).map(|_| 20.0 * rng.next_normal()).collect();
    (0..count)
        .flat_map(|i| {
            (0..d)
                .map(|j| (centres[i % k * d + j] + rng.next_normal()) as f32)
                .collect::<Vec<f32>>()
        })
        .collect()
}

fn fit(rows: &[f32], d: usize, params: KMeansParams) -> KMeansModel {
    KMeansModel::fit(rows, d, &params.check().unwrap()).unwrap()
}

fn with(n_clusters: usize) -> KMeansParams {
    KMeansParams {
        n_clusters,
        ..KMeansParams::default()
    }
}

/// The oracle of an assignment: every distance in f64, by definition.
fn naive_nearest(row: &[f32], centroids: &[f32], d: usize) -> (usize, f64) {
    let distances = centroids.chunks(d).map(|c| {
        row.iter()
            .zip(c)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum::<f64>()
    });
    distances
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap()
}

#[test]
fn the_nearest_centroid_is_that_of_the_definition() {
    for (k, d) in [(1, 1), (5, 3), (16, 16), (17, 33), (50, 100)] {
        let rows = blobs(300, 7, d);
        let centroids = Centroids::new(rows[..k * d].to_vec(), d).unwrap();
        for row in rows.chunks(d) {
            let (cluster, squared) = centroids.nearest(row);
            let (expected, distance) = naive_nearest(row, centroids.rows(), d);
            assert_eq!(cluster, expected);
            assert!(
                (f64::from(squared) - distance).abs() <= 1e-5 * distance,
                "{squared} {distance}"
            );
        }
    }
}

#[test]
fn among_equal_centroids_the_first_is_nearest() {
    let centroids = Centroids::new(vec![1.0, 0.0, 0.0, 2.0], 1).unwrap();
    assert_eq!(centroids.nearest(&[0.0]), (1, 0.0));
    assert_eq!(centroids.nearest(&[1.5]), (0, 0.25));
}

#[test]
fn a_pass_of_lloyd_is_that_worked_out_by_hand() {
    // 0, 1, 2 | 10, 12 around centroids 0 and 10.
    let centroids = Centroids::new(vec![0.0, 10.0], 1).unwrap();
    let mut pass = KMeansPartial::new(2, 1).unwrap();
    pass.add(&[0.0, 1.0, 2.0, 10.0, 12.0], &centroids).unwrap();
    assert_eq!(
        (pass.counts(), pass.inertias()),
        ([3, 2].as_slice(), [5.0, 4.0].as_slice())
    );
    assert_eq!(pass.centroids(&centroids).unwrap().rows(), [1.0, 11.0]);
}

#[test]
fn separated_clusters_are_found_exactly() {
    let rows = blobs(900, 9, 4);
    let model = fit(&rows, 4, with(9));
    assert_eq!(model.counts().iter().sum::<u64>(), 900);
    assert!(
        model.counts().iter().all(|count| *count == 100),
        "{:?}",
        model.counts()
    );
    // Each cluster is a unit normal in 4 dimensions: 900 × 4, give or take.
    assert!(
        (model.inertia() - 3600.0).abs() < 200.0,
        "{}",
        model.inertia()
    );
}

#[test]
fn the_fit_is_a_fixed_point_of_naive_lloyd() {
    let rows = blobs(400, 5, 3);
    let model = fit(
        &rows,
        3,
        KMeansParams {
            tol: 0.0,
            ..with(8)
        },
    );
    let mut sums = vec![(0.0, [0.0_f64; 3]); 8];
    let mut inertia = 0.0;
    for row in rows.chunks(3) {
        let (cluster, distance) = naive_nearest(row, model.centroids().rows(), 3);
        inertia += distance;
        sums[cluster].0 += 1.0;
        (0..3).for_each(|j| sums[cluster].1[j] += f64::from(row[j]));
    }
    assert!((inertia - model.inertia()).abs() < 1e-5 * inertia);
    for (cluster, (count, sum)) in sums.iter().enumerate() {
        for (j, value) in model.centroids().row(cluster).iter().enumerate() {
            assert!((f64::from(*value) - sum[j] / count).abs() < 1e-4);
        }
    }
}

#[test]
fn more_runs_never_make_it_worse() {
    let rows = blobs(500, 12, 2);
    let inertia = |n_init| fit(&rows, 2, KMeansParams { n_init, ..with(10) }).inertia();
    assert!(inertia(1) >= inertia(3) && inertia(3) >= inertia(8));
}

#[test]
fn local_search_lowers_the_inertia_of_one_start() {
    let rows = blobs(2000, 96, 2);
    let mean = |local_search| {
        let inertia = |seed| {
            let params = KMeansParams {
                n_init: 1,
                local_search,
                seed,
                ..with(96)
            };
            fit(&rows, 2, params).inertia()
        };
        (1..=8).map(inertia).sum::<f64>() / 8.0
    };
    // 3306 against 3455: greedy k-means++ leaves little.
    assert!(mean(100) < 0.97 * mean(0), "{} {}", mean(100), mean(0));
}

#[test]
fn the_same_sample_gives_the_same_bytes() {
    let rows = blobs(300, 4, 5);
    assert_eq!(
        fit(&rows, 5, with(6)).to_bytes(),
        fit(&rows, 5, with(6)).to_bytes()
    );
    let once = KMeansParams {
        n_init: 1,
        max_iter: 1,
        ..with(20)
    };
    assert_ne!(
        fit(&rows, 5, once).to_bytes(),
        fit(&rows, 5, KMeansParams { seed: 2, ..once }).to_bytes()
    );
}

#[test]
fn an_empty_cluster_starts_again_at_the_farthest_row() {
    // The third centroid is nearest to no row; the row farthest from its own centroid is 50.
    let rows = [0.0, 1.0, 2.0, 9.0, 10.0, 50.0];
    let centroids = Centroids::new(vec![1.0, 10.0, 1000.0], 1).unwrap();
    let mut pass = KMeansPartial::new(3, 1).unwrap();
    let mut distances = Vec::new();
    pass.add_seen(&rows, &centroids, |_, squared| distances.push(squared))
        .unwrap();
    assert_eq!(pass.counts(), [3, 3, 0]);
    let moved = fit::reseed(
        pass.centroids(&centroids).unwrap(),
        &pass,
        &rows,
        &distances,
    )
    .unwrap();
    assert_eq!(moved.rows(), [1.0, 23.0, 50.0]);
}

#[test]
fn fewer_distinct_rows_than_clusters_make_fewer_clusters() {
    let rows = [1.0, 5.0, 1.0, 5.0, 1.0, 9.0];
    let model = fit(&rows, 1, with(8));
    assert_eq!((model.centroids().len(), model.inertia()), (3, 0.0));
    assert_eq!(model.spread(), [1.0; 3], "no spread never divides by zero");
    assert_eq!(fit(&[4.0, 4.0], 1, with(3)).centroids().rows(), [4.0]);
}

#[test]
fn every_split_merges_to_the_same_pass_and_batches_to_the_same_bytes() {
    let rows = blobs(600, 5, 4);
    let centroids = Centroids::new(rows[..7 * 4].to_vec(), 4).unwrap();
    let of = |rows: &[f32]| {
        let mut pass = KMeansPartial::new(7, 4).unwrap();
        pass.add(rows, &centroids).unwrap();
        pass
    };
    let whole = of(&rows);
    for batch in [1, 7, 600] {
        let mut pass = KMeansPartial::new(7, 4).unwrap();
        rows.chunks(batch * 4)
            .for_each(|rows| pass.add(rows, &centroids).unwrap());
        assert_eq!(pass.to_bytes(), whole.to_bytes());
        let parts: Vec<_> = rows.chunks(batch * 4).map(of).collect();
        for backwards in [false, true] {
            let mut merged = KMeansPartial::new(7, 4).unwrap();
            for i in 0..parts.len() {
                let part = &parts[if backwards { parts.len() - 1 - i } else { i }];
                merged
                    .merge(&KMeansPartial::from_bytes(&part.to_bytes()).unwrap())
                    .unwrap();
            }
            assert_eq!(merged.counts(), whole.counts());
            let (a, b) = (
                merged.centroids(&centroids).unwrap(),
                whole.centroids(&centroids).unwrap(),
            );
            assert!(
                a.rows()
                    .iter()
                    .zip(b.rows())
                    .all(|(a, b)| (a - b).abs() < 1e-5)
            );
        }
    }
    let (a, b) = (of(&rows[..800]), of(&rows[800..]));
    let (mut ab, mut ba) = (a.clone(), b.clone());
    ab.merge(&b).unwrap();
    ba.merge(&a).unwrap();
    assert_eq!(ab.to_bytes(), ba.to_bytes());
    ab.merge(&KMeansPartial::new(7, 4).unwrap()).unwrap();
    assert_eq!(ab, ba);
}

#[test]
fn distances_are_those_worked_out_by_hand_and_contributions_add_up_to_them() {
    let centroids = Centroids::new(vec![0.0, 0.0, 10.0, 10.0], 2).unwrap();
    let mut pass = KMeansPartial::new(2, 2).unwrap();
    pass.add(&[1.0, 0.0, 0.0, 1.0, 13.0, 14.0], &centroids)
        .unwrap();
    let model = KMeansModel::of(centroids, &pass, 0, 1.0).unwrap();
    // Inertias 2 of 2 rows and 25 of 1, the mean 9; spreads √((2 + 90) / 12) and √((25 + 90) / 11).
    let near = model.distance(&[3.0, 4.0]).unwrap();
    assert_eq!((near.cluster, near.distance), (0, 5.0));
    assert!((near.modified_distance - 5.0 / (92.0_f32 / 12.0).sqrt()).abs() < 1e-5);
    assert!((model.spread()[1] - (115.0_f32 / 11.0).sqrt()).abs() < 1e-5);
    let mut contributions = [0.0; 2];
    model
        .contributions(&[3.0, 4.0], &mut contributions)
        .unwrap();
    assert_eq!(contributions, [9.0, 16.0]);
    let mut out = [Nearest::default(); 2];
    model
        .distances(&[3.0, 4.0, 10.0, 11.0], 2, &mut out)
        .unwrap();
    assert_eq!((out[0], out[1].cluster, out[1].distance), (near, 1, 1.0));
    let mut scores = [0.0; 2];
    model
        .score(&[3.0, 4.0, 10.0, 11.0], 2, &mut scores)
        .unwrap();
    assert_eq!(scores, [5.0, 1.0]);
}

#[test]
fn a_small_cluster_is_no_crowd_so_that_its_rows_are_far() {
    // 90 rows near 0, 90 near 10, and 4 that are a cluster of their own at 50.
    let mut rows: Vec<f32> = (0..180_u8)
        .map(|i| f32::from(i % 2) * 10.0 + f32::from(i) / 1000.0)
        .collect();
    rows.extend([50.0; 4]);
    let fit = |crowd_share| {
        fit(
            &rows,
            1,
            KMeansParams {
                crowd_share,
                ..with(3)
            },
        )
    };
    let (model, all) = (fit(0.9), fit(1.0));
    assert_eq!((model.crowds().len(), all.crowds().len()), (2, 3));
    let near = model.distance(&[50.0]).unwrap();
    assert!((near.distance - 39.9).abs() < 0.1, "{near:?}");
    assert_eq!(all.distance(&[50.0]).unwrap().distance, 0.0);
    assert_eq!(
        all.distance(&[50.0]).unwrap().cluster,
        model.cluster(&[50.0]).unwrap()
    );
    assert!(
        model.crowds().contains(&near.cluster) && near.cluster != model.cluster(&[50.0]).unwrap()
    );
    let mut contribution = [0.0];
    model.contributions(&[50.0], &mut contribution).unwrap();
    assert!((contribution[0] - near.distance * near.distance).abs() < 1e-2);
    assert_eq!(fit(1e-9).crowds().len(), 1, "there is always one");
}

#[test]
fn a_row_with_a_nan_is_scored_nan_and_does_not_crash() {
    let model = fit(&blobs(100, 3, 2), 2, with(3));
    let at = model.distance(&[f32::NAN, 1.0]).unwrap();
    assert!(at.distance.is_nan() && at.modified_distance.is_nan());
    assert!(
        model
            .distance(&[f32::MAX, 1.0])
            .unwrap()
            .distance
            .is_infinite()
    );
}

#[test]
fn bytes_round_trip_and_damaged_ones_are_refused() {
    let model = fit(&blobs(100, 3, 2), 2, with(3));
    assert_eq!(KMeansModel::from_bytes(&model.to_bytes()), Ok(model));
    let good = wire::KMeans {
        d: 2,
        centroids: vec![0.0; 4],
        spread: vec![1.0; 2],
        counts: vec![1; 2],
        inertia: 1.0,
        iterations: 1,
        crowd_share: 1.0,
    };
    let read = |message: &wire::KMeans| KMeansModel::from_bytes(&seal(KIND, VERSION, message));
    assert!(read(&good).is_ok());
    let spoil: [fn(&mut wire::KMeans); 6] = [
        |bad| bad.crowd_share = 0.0,
        |bad| bad.centroids.push(1.0),
        |bad| bad.centroids[0] = f32::NAN,
        |bad| bad.spread[0] = 0.0,
        |bad| bad.counts.push(1),
        |bad| bad.d = 0,
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(
            matches!(read(&bad), Err(LearnerError::Damaged { .. })),
            "number {number}"
        );
    }
    let state = wire::KMeansPartial {
        k: 1,
        d: 2,
        counts: vec![0],
        inertias: vec![0.0],
        sums: vec![0.0; 3],
    };
    assert!(KMeansPartial::from_bytes(&seal("kmeans pass", VERSION, &state)).is_err());
}

#[test]
fn bad_parameters_and_data_are_named() {
    let named = |params: KMeansParams| params.check().unwrap_err().to_string();
    assert_eq!(
        named(with(0)),
        "kmeans: parameter `n_clusters` must be 1 to 65536, got 0"
    );
    assert!(
        named(KMeansParams {
            tol: f64::NAN,
            ..with(2)
        })
        .contains("`tol` must be 0 to 1, got NaN")
    );
    assert!(
        named(KMeansParams {
            max_iter: 0,
            ..with(2)
        })
        .contains("max_iter")
    );
    assert!(
        named(KMeansParams {
            n_init: 0,
            ..with(2)
        })
        .contains("n_init")
    );
    assert!(
        named(KMeansParams {
            local_search: 10_001,
            ..with(2)
        })
        .contains("local_search")
    );
    assert!(
        named(KMeansParams {
            crowd_share: 1.5,
            ..with(2)
        })
        .contains("crowd_share")
    );
    let checked = with(2).check().unwrap();
    assert!(
        KMeansModel::fit(&[], 2, &checked)
            .unwrap_err()
            .to_string()
            .contains("no rows")
    );
    assert!(
        KMeansModel::fit(&[1.0, f32::NAN], 1, &checked)
            .unwrap_err()
            .to_string()
            .contains("not finite")
    );
    let model = fit(&[1.0, 2.0, 3.0, 4.0], 1, with(2));
    assert!(model.distance(&[1.0, 2.0]).is_err() && model.contributions(&[1.0], &mut []).is_err());
}
