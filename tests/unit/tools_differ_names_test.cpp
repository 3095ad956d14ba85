// What linkage names say.
#include <gtest/gtest.h>

#include "tools/differ/names.h"

namespace graft::differ {
namespace {

TEST(Names, InitialisersOfEachPriorityAreAKind) {
    EXPECT_EQ(initialiser_kind("_GLOBAL__sub_I__Z3usev"), "_GLOBAL__sub_I");
    EXPECT_EQ(initialiser_kind("_GLOBAL__sub_I_x"), "_GLOBAL__sub_I");
    EXPECT_EQ(initialiser_kind("_GLOBAL__sub_I.65000__Z3usev"), "_GLOBAL__sub_I.65000");
    EXPECT_EQ(initialiser_kind("_GLOBAL__I_65000_x"), "_GLOBAL__I");
    EXPECT_EQ(initialiser_kind("_GLOBAL__sub_D_x"), "_GLOBAL__sub_D");
    EXPECT_EQ(initialiser_kind("_GLOBAL__sub_Ix"), "");
    EXPECT_EQ(initialiser_kind("_GLOBAL__N_1"), "");
    EXPECT_EQ(initialiser_kind("_Z3usev"), "");
}

TEST(Names, TablesOfVirtualFunctionsKnowTheirClass) {
    EXPECT_TRUE(is_vtable("_ZTV5Whole"));
    EXPECT_TRUE(is_vtable("_ZTC5Whole0_6Middle"));
    EXPECT_TRUE(is_vtable("_ZTT5Whole"));
    EXPECT_FALSE(is_vtable("_ZTS5Whole"));
    EXPECT_FALSE(is_vtable("_ZTv0_n24_N5Whole5firstEi"));
    EXPECT_EQ(class_of_vtable("_ZTV5Whole"), "Whole");
    EXPECT_EQ(class_of_vtable("_ZTC5Whole0_6Middle"), "Whole");
    EXPECT_EQ(class_of_vtable("_ZTT5Whole"), "Whole");
    EXPECT_EQ(class_of_vtable("_ZTVN4data5SlotsE"), "data::Slots");
    EXPECT_EQ(class_of_vtable("_Z3usev"), "");
}

TEST(Names, NumbersOfTheCompilerDontCount) {
    EXPECT_TRUE(is_numbered("counter.3"));
    EXPECT_TRUE(is_numbered("_ZZ3foovE1n"));
    EXPECT_FALSE(is_numbered("_Z3foov"));
    EXPECT_EQ(unnumbered("counter.3"), "counter");
    EXPECT_EQ(unnumbered("_ZZ3foovENKUlvE_clEv"), unnumbered("_ZZ3foovENKUlvE0_clEv"));
    EXPECT_NE(unnumbered("_ZN1AD0Ev"), unnumbered("_ZN1AD1Ev")) << "the deleting destructor is another function";
    EXPECT_EQ(guarded("_ZGVZ3foovE1n"), "_ZZ3foovE1n");
    EXPECT_EQ(guarded("_ZZ3foovE1n"), "");
}

}  // namespace
}  // namespace graft::differ
