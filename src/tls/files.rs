//! TLS material in files.
//!
//! Not here: what is in them ([`super::material`]).

use std::io;
use std::path::Path;

use super::material::{MAX_MATERIAL, Material, MaterialError, MaterialOrigin, ReadMaterial};
use crate::file;

/// Reads material from the files of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Files;

impl ReadMaterial for Files {
    fn read(&self, origin: &MaterialOrigin, max: u64) -> io::Result<Vec<u8>> {
        match origin {
            MaterialOrigin::File(path) | MaterialOrigin::Minted(path) => file::read(path, max),
        }
    }
}

/// Reads a file of certificates or keys.
///
/// # Errors
/// It cannot be read, or is not a regular file of at most [`MAX_MATERIAL`] bytes.
pub fn read(path: &Path) -> Result<Material, MaterialError> {
    Files.material(&path.to_owned().into(), MAX_MATERIAL)
}
