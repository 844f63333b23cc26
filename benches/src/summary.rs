//! Median and range of a figure over the rounds, and the ratio of two figures. Exact arithmetic
//! on a handful of values: percentiles of many are the histogram's business.

use serde::Serialize;

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// Summarises `values`; `None` when there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }
}

/// The ratio of two peers over those rounds in which both have a figure.
///
/// Both were measured within seconds of each other in a round, so what the machine did
/// meanwhile cancels out better than between two medians. The range tells how far to trust it.
pub(crate) fn ratio(of: &[Option<f64>], to: &[Option<f64>]) -> Option<Summary> {
    let ratios: Vec<f64> = of
        .iter()
        .zip(to)
        .filter_map(|(of, to)| Some(((*of)?, (*to)?)))
        .filter(|(_, to)| *to != 0.0)
        .map(|(of, to)| of / to)
        .collect();
    Summary::of(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middles() {
        assert_eq!(
            Summary::of(&[3.0, 1.0, 2.0]),
            Some(Summary { median: 2.0, min: 1.0, max: 3.0 })
        );
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Summary::of(&[7.0]), Some(Summary { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_ratio_pairs_rounds_and_leaves_out_the_missing() {
        let of = [Some(2.0), None, Some(9.0), Some(40.0)];
        let to = [Some(1.0), Some(5.0), Some(3.0), Some(10.0)];
        assert_eq!(ratio(&of, &to), Some(Summary { median: 3.0, min: 2.0, max: 4.0 }));
        assert_eq!(ratio(&[None], &[Some(1.0)]), None);
        assert_eq!(ratio(&[Some(1.0)], &[Some(0.0)]), None);
    }
}
