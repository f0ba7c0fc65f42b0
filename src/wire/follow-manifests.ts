// Follows the manifests folder: each snapshot that git is done with becomes a revision, or a fault that changes nothing
// and is loud (P3). It goes on for as long as the broker runs.

import { applyManifests } from '../actions/apply-manifests.ts'
import type { Context, Deps } from '../actions/ports.ts'
import { knownNames } from '../actions/standing.ts'
import { recordOf, transact } from '../actions/transact.ts'
import { watchManifestFolder } from '../adapters/manifests/watch-folder.ts'
import { shippedRecipes } from '../adapters/targets/shipped-recipes.ts'
import type { Config } from '../config.ts'
import type { Fault, ManifestFiles } from '../core/manifest.ts'
import { faultLine, parseManifests } from '../core/manifest-parse.ts'
import type { Problem } from '../core/problem.ts'
import { personal } from '../core/record.ts'
import { ok } from '../core/result.ts'

/** Faults that one record lists; all are counted. */
const FAULTS_IN_RECORD = 20

export type ManifestsFollowed = {
  /** What is wrong with the folder at present, a line each; empty when it is in force. */
  faults(): readonly string[]
  stopped: Promise<void>
}

export function followManifests(deps: Deps, config: Config, signal: AbortSignal): ManifestsFollowed {
  let current: readonly string[] = []
  const watcher = (): Context => ({ caller: { role: 'system', part: 'watcher' }, requestId: deps.ids.next('tsk') })

  const shout = async (faults: readonly Fault[]) => {
    const lines = faults.map(faultLine)
    if (lines.join('\n') === current.join('\n')) return
    current = lines
    deps.log.error(
      { faults: lines.slice(0, FAULTS_IN_RECORD), count: lines.length },
      'the manifests have faults, so nothing changed',
    )
    await transact(deps, 'normal', async (look) =>
      ok({
        value: null,
        records: [
          recordOf(
            watcher(),
            look.now,
            'manifest.rejected',
            {},
            {
              count: faults.length,
              faults: faults.slice(0, FAULTS_IN_RECORD).map(({ file, line, column, message }) => ({
                file: personal(file),
                line,
                column,
                message: personal(message),
              })),
            },
          ),
        ],
      }),
    )
  }

  const onSnapshot = async (files: ManifestFiles) => {
    const parsed = parseManifests(files, {
      issuerOrigin: new URL(config.issuer).origin,
      secretsFolder: config.secretsPath,
      known: await knownNames(deps),
      recipes: shippedRecipes(),
    })
    if (!parsed.ok) return shout(parsed.faults)
    const applied = await applyManifests(deps, watcher(), { set: parsed.set, base: null })
    if (!applied.ok) {
      if (applied.error.code === 'not_initialized') return
      if (isPassing(applied.error)) throw new Error(applied.error.message)
      return shout(
        applied.error.message.split('\n').map((message) => ({ file: config.scopesPath, line: 1, column: 1, message })),
      )
    }
    if (current.length > 0) deps.log.info({}, 'the manifests are in order again')
    current = []
    const { changed, revision, waiting, narrowings } = applied.value
    if (changed)
      deps.log.info(
        { revision: revision.id, narrowings: narrowings.length, waiting: waiting.length },
        waiting.length > 0 ? 'a revision is in force; widenings wait for their owners' : 'a revision is in force',
      )
  }

  const stopped = watchManifestFolder(config.scopesPath, {
    onSnapshot,
    onFault: (message) =>
      void shout([{ file: config.scopesPath, line: 1, column: 1, message }]).catch(() => deps.log.error({}, message)),
    signal,
  })
  return { faults: () => current, stopped }
}

/** Worth handing over again as it is: the store was busy or down. */
const isPassing = (problem: Problem): boolean => problem.retryable === true
