/** The newest migration that this program needs. A test compares it with prisma/migrations. */
export const SCHEMA_VERSION = '20261201030000_api_tokens'

/**
 * The oldest supported PostgreSQL: the version that the tests run on. `npm run migrate` refuses an older one, doctor
 * reports it, and a test compares the documents.
 */
export const OLDEST_POSTGRES = 15
