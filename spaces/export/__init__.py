"""Networks for other programs.

``network_folder`` reads a delivered folder back as the ``nn.Module`` that was searched. ``formats`` writes torch.export, ONNX
and ``python_source``, a file that needs torch and nothing else, and checks each of them; ``int8`` writes ONNX in 8 bits.
``preprocessing`` makes of an image what a network takes, in training and in delivered folders. ``format_table`` lists the forms
of a delivered network, ``device_formats`` writes those that need packages of their own, and ``exported`` runs any of them.
``scaling`` makes a space wider or slimmer before it is trained; ``baselines`` has networks that need no search, scaled to a
budget; ``additions`` gives a network squeeze-excitation and swish.
"""

__all__ = [
    "additions",
    "baselines",
    "device_formats",
    "exported",
    "format_table",
    "formats",
    "int8",
    "network_folder",
    "preprocessing",
    "python_source",
    "scaling",
]
