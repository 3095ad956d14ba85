# checked() gets the split-off cold part that the image's flags forbid: a function of more than one range.
flags.tests/guest/torture/checked.cpp := -freorder-blocks-and-partition
