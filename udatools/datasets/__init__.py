# SPDX-License-Identifier: Apache-2.0
"""Data sets, transforms and the sampler; importing registers them with mmseg."""
from udatools.datasets.camvid import CamVidDomain
from udatools.datasets.carla import CARLADomain
from udatools.datasets.cityscapes import CityscapesDomain, CityscapesSequenceDomain
from udatools.datasets.cityscapes_vps import CityscapesVPSDomain
from udatools.datasets.clip_sampler import ClipSampler
from udatools.datasets.clips import ClipDataset
from udatools.datasets.domain_dataset import DatasetLayoutError, DomainDataset
from udatools.datasets.gta5 import GTA5Domain
from udatools.datasets.image_folder import ImageFolderDomain
from udatools.datasets.samplers import CounterSampler
from udatools.datasets.synthia import SYNTHIADomain
from udatools.datasets.synthia_seq import SYNTHIASeqDomain
from udatools.datasets.taxonomies import get_class_set, get_label_lut, get_label_map, list_class_sets
from udatools.datasets.transforms import LoadDomainImage, LoadDomainLabel, SparseSafeResize
from udatools.datasets.uda_dataset import UDADataset
from udatools.datasets.video_frames import VideoFramesDomain
from udatools.datasets.viper import VIPERDomain

__all__ = [
    'CARLADomain', 'CamVidDomain', 'CityscapesDomain', 'CityscapesSequenceDomain', 'CityscapesVPSDomain', 'ClipDataset',
    'ClipSampler', 'CounterSampler', 'DatasetLayoutError', 'DomainDataset', 'GTA5Domain', 'ImageFolderDomain',
    'LoadDomainImage', 'LoadDomainLabel', 'SYNTHIADomain', 'SYNTHIASeqDomain', 'SparseSafeResize', 'UDADataset', 'VIPERDomain',
    'VideoFramesDomain', 'get_class_set', 'get_label_lut', 'get_label_map', 'list_class_sets'
]
