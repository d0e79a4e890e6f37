/** The newest migration that this program counts on. A test compares it with prisma/migrations. */
export const SCHEMA_VERSION = '20261130110000_retrying'
