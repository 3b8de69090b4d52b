import { FolderSnapshots, S3Snapshots, type SnapshotOptions } from "@distributed-messaging/messaging";
import type { ReplicationConfig } from "./config.ts";
import { secretOf } from "./secrets.ts";

/** Where the settings of a replicated service say that its snapshots are; undefined where they say nothing. */
export function snapshotOptions(config: Partial<ReplicationConfig>): SnapshotOptions | undefined {
  const { SNAPSHOTS: place, SNAPSHOT_EVERY: every } = config;
  if (place === undefined) return undefined;
  const [, bucket, prefix = ""] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(place) ?? [];
  const store =
    bucket === undefined
      ? new FolderSnapshots(place)
      : new S3Snapshots({
          bucket,
          prefix: prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`,
          ...given("accessKeyId", config.AWS_ACCESS_KEY_ID),
          ...given("secretAccessKey", secretOf(config, "AWS_SECRET_ACCESS_KEY")),
          ...given("sessionToken", secretOf(config, "AWS_SESSION_TOKEN")),
          ...given("region", config.AWS_REGION),
          ...given("endpoint", config.AWS_ENDPOINT),
        });
  return { store, ...given("every", every) };
}

function given<Name extends string, Value>(name: Name, value: Value | undefined) {
  return (value === undefined ? {} : { [name]: value }) as { readonly [Key in Name]?: Value };
}
