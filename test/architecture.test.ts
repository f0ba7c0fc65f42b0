// Imports run one way: core ← actions ← adapters ← wire ← cli. This test looks at every module there is, or fails.

import { readdirSync } from 'node:fs'
import { cruise, type ICruiseResult } from 'dependency-cruiser'
import { beforeAll, describe, expect, it } from 'vitest'

const layerOf = (path: string): string => {
  const [, top = '', second = ''] = path.split('/')
  if (['core', 'actions', 'guard'].includes(top)) return top
  if (top === 'adapters') return `adapters/${second}`
  return top.replace(/\.ts$/, '')
}

/** Which layers a layer's modules may import, besides its own. */
const allowed = (from: string, to: string): boolean => {
  if (from === to) return true
  if (from === 'core' || from === 'guard') return false
  if (from === 'actions') return to === 'core'
  if (from.startsWith('adapters/')) return to === 'core' || to === 'actions'
  if (from === 'config') return to === 'core' || to === 'adapters/keys'
  if (from === 'wire') return to !== 'cli' && to !== 'commands' && to !== 'demo'
  return from === 'cli' || from === 'commands' || from === 'demo'
}

const PURE_CORE = new Set(['zod', 'yaml', 'node:crypto', 'crypto', 'node:util', 'util'])

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => /\.tsx?$/.test(name))

describe('the house', () => {
  let modules: ICruiseResult['modules']
  beforeAll(async () => {
    const result = await cruise(
      ['src'],
      { tsPreCompilationDeps: true, doNotFollow: { path: 'node_modules' } },
      undefined,
      {
        tsConfig: undefined,
      },
    )
    if (typeof result.output === 'string') throw new Error(result.output)
    modules = result.output.modules.filter((module) => module.source.startsWith('src/'))
  })

  it('is looked at whole: no module is missed', () => {
    expect(files.length).toBeGreaterThan(60)
    expect(modules.map((module) => module.source).sort()).toEqual(files.map((name) => `src/${name}`).sort())
  })

  it('imports one way: core ← actions ← adapters ← wire ← cli, and adapters never each other', () => {
    const wrong = modules.flatMap((module) =>
      module.dependencies
        .filter((to) => to.resolved.startsWith('src/') && !allowed(layerOf(module.source), layerOf(to.resolved)))
        .map((to) => `${module.source} → ${to.resolved}`),
    )
    expect(wrong).toEqual([])
  })

  it('keeps core pure: nothing but hashes, schemas and YAML comes from outside', () => {
    const wrong = modules
      .filter((module) => layerOf(module.source) === 'core')
      .flatMap((module) =>
        module.dependencies
          .filter((to) => !to.resolved.startsWith('src/') && !PURE_CORE.has(to.module))
          .map((to) => `${module.source} → ${to.module}`),
      )
    expect(wrong).toEqual([])
  })

  it('lets the guard stand alone: jose and nothing of ours', () => {
    const outside = modules
      .filter((module) => layerOf(module.source) === 'guard')
      .flatMap((module) => module.dependencies.map((to) => to))
      .filter((to) => !to.resolved.startsWith('src/guard/') && !to.dependencyTypes.includes('type-only'))
      .map((to) => to.module)
    expect(outside.filter((name) => name !== 'jose' && !name.startsWith('node:') && name !== 'crypto')).toEqual([])
  })

  it('has no cycle', () => {
    expect(
      modules.flatMap((module) =>
        module.dependencies.filter((to) => to.circular).map((to) => `${module.source} → ${to.resolved}`),
      ),
    ).toEqual([])
  })
})
