//! What the fuzz targets share: the bound of one decision's cost, and something to decide with.

mod cost;
mod decide;

pub use cost::bounded;
pub use decide::{Bundles, NAMESPACE, configurations};
