/** The newest migration that this program counts on. A test compares it with prisma/migrations. */
export const SCHEMA_VERSION = '20261128170000_key_life'
