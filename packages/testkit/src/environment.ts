/** The addresses of the tests' private services, provided by `npm test`. */

/**
 * The variable's value.
 *
 * @throws Error naming the command that provides it, when it is unset or empty
 */
export function requireVariable(name: string): string {
  const value = process.env[name]
  if (value) return value
  throw new Error(
    `${name} is not set. Run the tests by \`npm test\`, or hand the services' addresses to your shell first: ` +
      '`set -a; eval "$(node tools/test.mjs --env)"; set +a`.',
  )
}

/** Address of the tests' Redis, password included. It is shared: keep to keys below {@link freshPrefix}. */
export function redisUrl(): string {
  return requireVariable('SEALFLEET_TEST_REDIS_URL')
}
