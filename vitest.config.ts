import { defineConfig } from 'vitest/config'

/** Set-up of every suite. */
const shared = {
  pool: 'forks',
  maxConcurrency: 3,
  // Bounds for what hangs, not measures: a busy machine is ten times slower than a quiet one.
  testTimeout: 180_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 60_000 } },
  restoreMocks: true,
} as const

const CHAOS = 'scripts/test/chaos.test.ts'

/**
 * Tests run against real services: `scripts/test.mjs` builds, starts them and hands over their addresses in
 * SEALFLEET_TEST_*. Workspace packages are imported as built (dist); a package's own tests import ../src.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: 'suites',
          include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'scripts/test/**/*.test.ts'],
          exclude: [CHAOS],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // When the others are done: it takes the whole machine, and what it does to it is nobody else's business.
        test: { ...shared, name: 'chaos', include: [CHAOS], maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
})
