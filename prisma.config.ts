import { defineConfig } from 'prisma/config'

/**
 * For those who have Prisma's native engine and like its own commands (`npx prisma migrate deploy`, `npx prisma studio`).
 * Ours, `npm run migrate`, needs neither this file nor the engine.
 */
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env['SEALFLEET_DATABASE_URL'] ?? '' },
})
