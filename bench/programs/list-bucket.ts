// What a listing costs by the store alone: the keys of a "directory" straight from the bucket, by the SDK.
//
//   list-bucket.js names|attributes|first|stat|missing ENDPOINT BUCKET [FIRST COUNT]
//
// `names` and `first` are ListObjectsV2, `attributes` a HEAD of each key besides, 20 at a time, as s3fs does it; `stat`
// and `missing` are a HEAD of each of COUNT names. Prints JSON: seconds (of one name for the last two) and keys. Before it
// begins it looks the directory's own key up, as is done of a filesystem's directory: the SDK's first request takes long.
import { HeadObjectCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3'
import { clientConfig, DIRECTORY, fileName } from '../minio.ts'

/** As s3fs's multireq_max. */
const PARALLEL_HEADS = 20

const [mode, endpoint, bucket, first = '0', count = '0'] = process.argv.slice(2) as [string, string, string, string?]
const client = new S3Client(clientConfig(endpoint))

async function* listPages(): AsyncGenerator<string[]> {
  for (let token: string | undefined; ; ) {
    const page: ListObjectsV2CommandOutput = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: `${DIRECTORY}/`,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
    )
    yield (page.Contents ?? []).map(({ Key }) => Key!).filter((key) => key !== `${DIRECTORY}/`)
    token = page.NextContinuationToken
    if (token === undefined) return
  }
}

/** How many of the keys are there. */
async function headAll(keys: readonly string[], parallel: number): Promise<number> {
  let [next, found] = [0, 0]
  const headRest = async () => {
    while (next < keys.length) {
      try {
        await client.send(new HeadObjectCommand({ Bucket: bucket, Key: keys[next++]! }))
        found++
      } catch (error) {
        if ((error as Error).name !== 'NotFound') throw error
      }
    }
  }
  await Promise.all(Array.from({ length: parallel }, headRest))
  return found
}

async function main(): Promise<{ seconds: number; keys: number }> {
  await headAll([`${DIRECTORY}/`], 1)
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  let keys = 0
  if (mode === 'stat' || mode === 'missing') {
    const ending = mode === 'stat' ? '' : '.missing'
    const names = Array.from(
      { length: Number(count) },
      (_, at) => `${DIRECTORY}/${fileName(Number(first) + at)}${ending}`,
    )
    keys = await headAll(names, 1)
    return { seconds: seconds() / names.length, keys }
  }
  for await (const page of listPages()) {
    keys += mode === 'attributes' ? await headAll(page, PARALLEL_HEADS) : page.length
    if (mode === 'first') break
  }
  return { seconds: seconds(), keys }
}

// Of Node and the SDK: the output is JSON alone.
process.removeAllListeners('warning')
process.stdout.write(`${JSON.stringify(await main())}\n`)
client.destroy()
