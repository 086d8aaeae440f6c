//! Error numbers as the kernel and libbpf return them.

use std::fmt;

/// A positive error number, of the kernel or one of libbpf's own (4000 and above).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal),+ $(,)?) => {
        #[allow(missing_docs)]
        impl Errno {
            $(pub const $name: Self = Self($value);)+

            /// The symbolic name, as `EINVAL` or `LIBBPF_ERRNO__RELOC`.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)+
                    _ => None,
                }
            }

            /// The number that is printed as these words.
            pub fn from_words(words: &str) -> Option<Self> {
                match words {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => words.strip_prefix("errno ")?.parse().ok().map(Self),
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, ENOENT = 2, ESRCH = 3, E2BIG = 7, EBADF = 9, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14, EBUSY = 16,
    EEXIST = 17, ENODEV = 19, EINVAL = 22, ENOSPC = 28, ERANGE = 34, ENOSYS = 38, EPROTO = 71, EOPNOTSUPP = 95, ENOTSUPP = 524,
    LIBBPF_ERRNO__LIBELF = 4000, LIBBPF_ERRNO__FORMAT = 4001, LIBBPF_ERRNO__KVERSION = 4002,
    LIBBPF_ERRNO__ENDIAN = 4003, LIBBPF_ERRNO__INTERNAL = 4004, LIBBPF_ERRNO__RELOC = 4005,
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn what_is_printed_is_read_back() {
        for errno in [Errno::EINVAL, Errno::LIBBPF_ERRNO__RELOC, Errno(5), Errno(4095)] {
            assert_eq!(Errno::from_words(&errno.to_string()), Some(errno));
        }
        assert_eq!(Errno::from_words("EWHATEVER"), None);
    }
}
