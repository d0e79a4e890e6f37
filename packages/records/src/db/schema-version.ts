/** The newest migration that this program counts on. A test compares it with prisma/migrations. */
export const SCHEMA_VERSION = '20261130140000_long_paths'

/**
 * The oldest PostgreSQL that we support: the one that the tests run on. `npm run migrate` refuses an older one, doctor
 * says so, and a test compares the documents.
 */
export const OLDEST_POSTGRES = 15
