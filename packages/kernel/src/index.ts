/** The native kernel of sealing and opening: README.md. */
export { Kernel } from './kernel.js'
export type { Operation, Segment, SegmentKeys } from './segment.js'
export { KERNEL_CHOICES, type KernelChoice, type SelectOptions, kernel, selectKernel } from './select.js'
