"""Apple's DART, an IOMMU: devices of a system, the streams that they use, and domains."""
