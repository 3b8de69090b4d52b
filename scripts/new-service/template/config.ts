import { commonSettings, Port } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

/** The settings of this service. Each is an environment variable; a wrong value is reported when the service starts. */
export const TemplateConfig = Type.Object({
  ...commonSettings,
  TEMPLATE_PORT: Port(8999, "the port of the template service"),
});
