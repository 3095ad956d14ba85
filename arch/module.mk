# Permanent code must call nothing that can be patched: no copy or clear loop may become memcpy or memset, and no switch an
# indirect jump.
$(foreach source,$(wildcard arch/x86_64/permanent/*.cpp),\
    $(eval flags.$(source) := -fno-tree-loop-distribute-patterns -fno-jump-tables))
