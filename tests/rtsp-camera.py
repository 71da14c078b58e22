#!/usr/bin/env python3
"""An RTSP camera for tests: rtsp-camera.py PORT VIDEO [USER PASSWORD], where VIDEO is h264, jpeg or h263."""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
port, codec = sys.argv[1], sys.argv[2]
video = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=1",
    "jpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
    "h263": "videoscale ! video/x-raw,width=176,height=144 ! avenc_h263 ! rtph263pay name=pay0 pt=34",
}[codec]
factory = GstRtspServer.RTSPMediaFactory()
factory.set_shared(False)
factory.set_launch(
    "( videotestsrc is-live=true pattern=blue ! video/x-raw,format=I420,width=320,height=240,framerate=10/1 ! "
    + video
    + " audiotestsrc is-live=true freq=440 volume=0.2 ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0 )"
)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
if len(sys.argv) > 3:
    user = GstRtspServer.RTSPToken()
    user.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(sys.argv[3], sys.argv[4]), user)
    server.set_auth(auth)
    role = Gst.Structure.new_empty("user")
    role.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    role.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
    factory.add_role_from_structure(role)
server.get_mount_points().add_factory("/live", factory)
if server.attach(None) == 0:
    sys.exit("the port %s is taken" % port)
print("ready", flush=True)
GLib.MainLoop().run()
