import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Those that take longest, so that none is alone at the end. */
const FIRST = ['rt-broker', 'redmine-broker', 'influxdb-broker', 'rt-target']

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = FIRST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`))
      return found === -1 ? FIRST.length : found
    }
    return (await super.sort(files)).toSorted((one, other) => place(one) - place(other))
  }
}

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/tools/**/*.test.ts'],
    // A condition that is awaited has as long as a busy machine needs: speed is the bench's to measure.
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Each starts its own tools on ports that are free. Much of it waits.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
  },
})
