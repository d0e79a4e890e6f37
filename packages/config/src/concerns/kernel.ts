import { KERNEL_CHOICES, type KernelChoice } from '@sealfleet/kernel'
import { z } from 'zod'
import { defineConcern } from '../concern.js'
import { withDefault } from '../variable.js'

/** Every program gets it: each may seal or open. */
export interface KernelConfig {
  readonly choice: KernelChoice
}

const variables = {
  choice: withDefault('auto', {
    name: 'SEALFLEET_KERNEL',
    description:
      'what seals and opens: the native kernel with two lanes or one (evp), or TypeScript; auto: the fastest that this machine has',
    expects: `one of ${KERNEL_CHOICES.join(', ')}`,
    example: 'auto',
    schema: z.enum(KERNEL_CHOICES, { error: 'is no kernel' }),
  }),
}

export const kernelChoice = defineConcern({ variables, build: (values): KernelConfig => values })
