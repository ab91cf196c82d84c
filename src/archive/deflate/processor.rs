//! The two things that inflating spends its time with, compiled once more for processors that shift and copy better
//! than the least of their kind.
//!
//! All of it is safe code; unsafe is only to call what was compiled for a processor's feature, after that was found.

use super::DeflateError;
use super::symbols::{End, Run};
use super::tables::{Code, Tables};

/// What the code is compiled for; asked at run time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Processor {
    /// AVX-512 F, BW and VL, and all of the next.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, BMI1, BMI2 and LZCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The least of its kind.
    Any,
}

impl Processor {
    /// The best that this processor has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
        {
            let is_wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            return if is_wide { Self::Avx512 } else { Self::Avx2 };
        }
        Self::Any
    }

    /// Decodes until the block, the input or the free space ends.
    #[allow(unsafe_code, reason = "a function for a processor feature can be called no other way")]
    pub(super) fn decode(self, run: &mut Run<'_>) -> Result<End, DeflateError> {
        match self {
            // SAFETY: these two are only made by `detect`, after all of the function's features were found.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::decode_512(run) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::decode(run) },
            Self::Any => run.decode(),
        }
    }

    /// Builds the tables of a block from its codes, each list in the order of its symbols.
    #[allow(unsafe_code, reason = "a function for a processor feature can be called no other way")]
    pub(super) fn build(
        self,
        tables: &mut Tables,
        literals: &[Code],
        distances: &[Code],
    ) -> Result<(), DeflateError> {
        match self {
            // SAFETY: these two are only made by `detect`, after all of the function's features were found.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::build_512(tables, literals, distances) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::build(tables, literals, distances) },
            Self::Any => tables.build(literals, distances),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Code, DeflateError, End, Run, Tables};

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512vl")]
    pub(super) fn decode_512(run: &mut Run<'_>) -> Result<End, DeflateError> {
        run.decode()
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(super) fn decode(run: &mut Run<'_>) -> Result<End, DeflateError> {
        run.decode()
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512vl")]
    pub(super) fn build_512(
        tables: &mut Tables,
        literals: &[Code],
        distances: &[Code],
    ) -> Result<(), DeflateError> {
        tables.build(literals, distances)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(super) fn build(
        tables: &mut Tables,
        literals: &[Code],
        distances: &[Code],
    ) -> Result<(), DeflateError> {
        tables.build(literals, distances)
    }
}
