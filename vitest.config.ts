import { defineConfig } from 'vitest/config'

/**
 * Tests run against real services: `scripts/test.mjs` builds, starts them and hands over their addresses in
 * SEALFLEET_TEST_*. Workspace packages are imported as built (dist); a package's own tests import ../src.
 */
export default defineConfig({
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'scripts/test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    maxConcurrency: 3,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    restoreMocks: true,
  },
})
