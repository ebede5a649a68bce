//! Names and limits, byte by byte.

pub(crate) const MAX_TIME: u64 = (1 << 48) - 1;
pub(crate) const MAX_U32: u64 = (1 << 32) - 1;
pub(crate) const MAX_VALUE: u64 = 1 << 18;
pub(crate) const MAX_BODY: u64 = 1 << 20;
pub(crate) const MAX_OPS: usize = 4096;
pub(crate) const MAX_VALUES: usize = MAX_OPS + 1;

fn fits(name: &str, most: usize, first: impl Fn(u8) -> bool, rest: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || rest.contains(&byte);
    name.len() <= most && name.bytes().next().is_some_and(first) && name.bytes().all(plain)
}

pub(crate) fn is_partition(name: &str) -> bool {
    fits(name, 63, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), b"._-")
}

pub(crate) fn is_kind(name: &str) -> bool {
    fits(name, 32, |byte| byte.is_ascii_lowercase(), b"_-")
}

pub(crate) fn is_intent(name: &str) -> bool {
    fits(name, 48, |byte| byte.is_ascii_lowercase(), b"_")
}

pub(crate) fn is_path(path: &str) -> bool {
    path.len() <= 255 && path.split('/').count() <= 16 && path.split('/').all(|part| fits(part, 255, |_| true, b"_.-"))
}
