#include <gtest/gtest.h>

#include "arch/x86_64/pure/latency.h"

namespace graft::arch {
namespace {

TEST(Latency, StepsAreNarrowAndLieOneBehindTheOther) {
    for (usize bucket = 0; bucket + 1 < kLatencyBuckets; ++bucket) {
        u64 floor = latency_floor(bucket);
        u64 next = latency_floor(bucket + 1);
        ASSERT_LT(floor, next);
        ASSERT_EQ(latency_bucket(floor), bucket);
        ASSERT_EQ(latency_bucket(next - 1), bucket);
        ASSERT_TRUE(next - floor == 1 || (next - floor) * 100 <= floor * 12) << bucket;
    }
}

TEST(Latency, WhatIsTooLongCountsInTheLastStep) {
    EXPECT_EQ(latency_bucket(~u64{0}), kLatencyBuckets - 1);
    EXPECT_EQ(latency_bucket(u64{1} << kLatencyBits), kLatencyBuckets - 1);
    EXPECT_EQ(latency_bucket((u64{1} << kLatencyBits) - 1), kLatencyBuckets - 1);
}

TEST(Latency, AnEmptyHistogramHasNoFigures) {
    LatencyHistogram histogram;
    EXPECT_EQ(histogram.count(), 0u);
    EXPECT_EQ(histogram.least(), LatencyHistogram::kNone);
    EXPECT_EQ(histogram.percentile(99), 0u);
}

TEST(Latency, APercentileIsAtMostOneStepTooLargeAndNeverTooSmall) {
    LatencyHistogram histogram;
    for (u64 i = 1; i <= 10'000; ++i) histogram.add(i * 10);
    EXPECT_EQ(histogram.count(), 10'000u);
    EXPECT_EQ(histogram.least(), 10u);
    EXPECT_EQ(histogram.sum(), u64{10} * 10'000 * 10'001 / 2);
    for (u64 percent : {1, 50, 90, 99, 100}) {
        u64 exact = percent * 1000;
        EXPECT_GE(histogram.percentile(percent), exact);
        EXPECT_LE(histogram.percentile(percent), exact + exact / 16);
    }
}

TEST(Latency, AFewSlowCallsOnlyShowInTheHighestPercent) {
    LatencyHistogram histogram;
    for (u64 i = 0; i < 990; ++i) histogram.add(100);
    for (u64 i = 0; i < 10; ++i) histogram.add(1'000'000);
    EXPECT_LT(histogram.percentile(99), 110u);
    EXPECT_GE(histogram.percentile(100), 1'000'000u);
    histogram.add(1'000'000);
    EXPECT_GE(histogram.percentile(99), 1'000'000u);
}

}  // namespace
}  // namespace graft::arch
