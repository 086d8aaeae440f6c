//! Names of maps.

/// The name under which reports know a map: an internal map's section, else the C name. libbpf puts the object's
/// name in front of `.bss`, `.data`, `.rodata` and `.kconfig`; no C name has a dot.
pub(super) fn map_name(name: &str) -> &str {
    name.find('.').map_or(name, |at| &name[at..])
}

#[cfg(test)]
mod tests {
    use super::map_name;

    #[test]
    fn internal_maps_go_by_their_section() {
        assert_eq!(map_name("scx_simp.bss"), ".bss");
        assert_eq!(map_name(".data.uei_dump"), ".data.uei_dump");
        assert_eq!(map_name(".rodata.str1.1"), ".rodata.str1.1");
        assert_eq!(map_name("arena"), "arena");
    }
}
